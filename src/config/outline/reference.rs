//! docs/CONFIGURATION.md: a table of keys for each table of the configuration.

use super::written::in_a_line;
use super::{Key, Need, Outline, Required, Shape};
use crate::config::load;

const HEAD: &str = "\
# Configuration

<!-- Written from the source: UPDATE=1 cargo test --lib config::outline -->

Every key of `config.yaml`. [config.yaml.example](../config.yaml.example) is a whole file with the same words, and
`matrixbot check --config config.yaml` tells everything that is wrong with yours at once, each problem with its line,
column and key. A key that is not here is refused.

- **Durations** are written `90s`, `15m`, `1h30m`, `2d`.
- **Any value** may be, or contain, `${ENV_NAME}` or `${ENV_NAME:-default}`; a plain `${` is written `$${`. What comes
  from the environment may be a number or a truth value, too.
- **A secret** may be given as `<key>_file`: the name of a file that holds it. A newline at its end does not count.
- **Paths** are relative to the folder of `config.yaml`.
- **Room ids** (`!…`) and **room aliases** (`#…`) need quotes: without them YAML takes them for tags and comments.
- **`SIGHUP`** (`systemctl reload`) makes a running process read the file again. `room_lists` and `compatibility` follow at
  once, with incidents under way keeping the ladder they began with. `homeserver`, `registration`, `user_prefix`, `database`,
  `listen` and `retention` take a restart, which the log says. A wrong file changes nothing, and the log says why.

**In an editor** with a YAML language server, this first line of the file gives completion and checks as you type;
`matrixbot check --schema > config.schema.json` writes the schema of the release you run, and
[config.schema.json](config.schema.json) is that of these sources:

```yaml
# yaml-language-server: $schema=config.schema.json
```
";

/// The text of docs/CONFIGURATION.md.
pub fn reference() -> String {
    let outline = load::outline();
    let mut lines = Vec::new();
    table(&mut lines, &outline, "", "The file");
    format!("{HEAD}{}\n", lines.join("\n"))
}

/// The keys of the table at `path`, and then the tables within it.
fn table(lines: &mut Vec<String>, outline: &Outline, path: &str, heading: &str) {
    let mark = if path.is_empty() { String::new() } else { "`".to_owned() };
    lines.extend([String::new(), format!("## {mark}{heading}{mark}")]);
    let mut group = Some("");
    for key in outline.keys_of(path) {
        if key.group != group {
            group = key.group;
            if let Some(group) = group {
                lines.extend([String::new(), format!("**{group}**")]);
            }
            lines.extend(["", "| Key | Value | Default | |", "|---|---|---|---|"].map(str::to_owned));
        }
        lines.push(row(outline, key));
    }
    for inner in outline.keys_of(path).filter_map(|key| inner_table(outline, &key.path())) {
        if first_like(outline, &inner) == inner {
            table(lines, outline, &inner, &inner.replace(".*", ".<key>"));
        }
    }
}

/// The first table that has the same keys with the same meanings: it is told once.
fn first_like<'o>(outline: &'o Outline, path: &'o str) -> &'o str {
    let keys = |path| outline.keys_of(path).map(|key| (&key.name, key.meaning)).collect::<Vec<_>>();
    let these = keys(path);
    outline.keys.iter().map(|key| key.table.as_str()).find(|table| keys(table) == these).unwrap_or(path)
}

fn row(outline: &Outline, key: &Key) -> String {
    let name = match key.file_key() {
        Some(file_key) => format!("`{}` or `{file_key}`", key.name),
        None => format!("`{}`", key.name),
    };
    let default = match &key.need {
        Need::Required | Need::Secret { required: Required::Yes, .. } => "*required*".to_owned(),
        Need::Secret { required: Required::Unless(other, word), .. } => {
            format!("*required* if `{other}: {word}`")
        }
        Need::Default(default) => format!("`{}`", in_a_line(default)),
        Need::Optional | Need::Secret { .. } => String::new(),
    };
    let value = kind(outline, &key.path(), outline.shape(&key.path()));
    format!("| {name} | {value} | {default} | {} |", key.meaning)
}

/// What a value may be, in words.
fn kind(outline: &Outline, path: &str, shape: &Shape) -> String {
    let of = |path: &str| kind(outline, path, outline.shape(path));
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Form(form) => form.name.to_owned(),
        Shape::Number { least, most } => format!("{least} to {most}"),
        Shape::Flag => "`true` or `false`".to_owned(),
        Shape::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        Shape::Duration => "duration".to_owned(),
        Shape::DurationOrNone => "duration or `none`".to_owned(),
        Shape::File => "file".to_owned(),
        Shape::List { .. } => format!("list of {}", of(&format!("{path}[]"))),
        Shape::Table => format!("[table](#{})", anchor(outline, path)),
        Shape::Map(form) => format!("{}: {}", form.name, of(&super::super::yaml::join(path, "*"))),
        Shape::ShortOrTable(short) => {
            format!("{} or [table](#{})", kind(outline, path, short), anchor(outline, path))
        }
    }
}

/// How the table at `path` is linked to.
fn anchor(outline: &Outline, path: &str) -> String {
    first_like(outline, path)
        .replace(".*", ".<key>")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

/// The path of the table that a value holds, if it holds one.
fn inner_table(outline: &Outline, path: &str) -> Option<String> {
    match outline.shape(path) {
        Shape::Table | Shape::ShortOrTable(_) => Some(path.to_owned()),
        Shape::List { .. } => inner_table(outline, &format!("{path}[]")),
        Shape::Map(_) => inner_table(outline, &format!("{path}.*")),
        _ => None,
    }
}
