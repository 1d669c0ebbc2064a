//! References to the environment in values of the configuration: `${NAME}`.

/// Replaces `${NAME}` and `${NAME:-default}`; `$${` is a plain `${`. `Err`: a reference has a problem.
pub(super) fn expand(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((reference, after)) = after.split_once('}') else {
            return Err("`${` has no closing `}`; write `$${` for a plain `${`".to_owned());
        };
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("`${{{reference}}}` does not name an environment variable"));
        }
        // As in a shell, `:-` also stands in for a variable that is set to nothing.
        let value = environment(name).filter(|value| default.is_none() || !value.is_empty());
        match value.as_deref().or(default) {
            Some(value) => out.push_str(value),
            None => return Err(format!("the environment variable {name} is not set")),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn with_name(text: &str) -> Result<String, String> {
        expand(text, &|name| match name {
            "NAME" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn references_are_replaced_wherever_they_stand() {
        assert_eq!(with_name("a ${NAME} and ${NAME}!").unwrap(), "a value and value!");
        assert_eq!(with_name("nothing to do, $5").unwrap(), "nothing to do, $5");
        assert_eq!(with_name("${EMPTY}").unwrap(), "");
    }

    #[test]
    fn a_default_stands_in_for_what_is_unset_or_empty() {
        assert_eq!(with_name("${ABSENT:-fallback}").unwrap(), "fallback");
        assert_eq!(with_name("${EMPTY:-fallback}").unwrap(), "fallback");
        assert_eq!(with_name("${NAME:-fallback}").unwrap(), "value");
        assert_eq!(with_name("${ABSENT:-}").unwrap(), "");
    }

    #[test]
    fn a_doubled_dollar_keeps_the_reference() {
        assert_eq!(with_name("$${NAME}").unwrap(), "${NAME}");
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_told() {
        assert_eq!(with_name("${ABSENT}").unwrap_err(), "the environment variable ABSENT is not set");
        assert!(with_name("${NAME").unwrap_err().contains("no closing"));
        assert!(with_name("${a b}").unwrap_err().contains("does not name"));
    }
}
