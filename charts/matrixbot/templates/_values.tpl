{{/* The values, as the templates read them. */}}

{{/*
Gives empty keys of the values their defaults (files/defaults.yaml), as Helm does only for keys that are absent. Every
template starts with it.
*/}}
{{- define "matrixbot.values" -}}
{{- range $path, $default := .Files.Get "files/defaults.yaml" | fromYaml }}
{{- $node := $.Values }}
{{- $keys := splitList "." $path }}
{{- range initial $keys }}
{{- if not (index $node .) }}{{ $_ := set $node . dict }}{{ end }}
{{- $node = index $node . }}
{{- end }}
{{- if kindIs "invalid" (index $node (last $keys)) }}{{ $_ := set $node (last $keys) $default }}{{ end }}
{{- end }}
{{- end }}

{{/* Removes the keys that begin with `x-` from a value and everything below: they hold YAML anchors, or belong to others. */}}
{{- define "matrixbot.dropForeign" -}}
{{- $node := . }}
{{- if kindIs "map" $node }}
{{- range $key, $below := $node }}
{{- if hasPrefix "x-" $key }}{{ $_ := unset $node $key }}{{ else }}{{ include "matrixbot.dropForeign" $below }}{{ end }}
{{- end }}
{{- else if kindIs "slice" $node }}
{{- range $node }}{{ include "matrixbot.dropForeign" . }}{{ end }}
{{- end }}
{{- end }}

{{/* The ports that the URLs of a value and everything below name, each followed by a space. A URL in a file: 443. */}}
{{- define "matrixbot.urlPorts" -}}
{{- $node := . }}
{{- if kindIs "map" $node }}
{{- range $key, $below := $node }}
{{- if hasSuffix "url_file" $key }}443 {{ else }}
{{- if has $key (list "url" "urls") }}
{{- range kindIs "slice" $below | ternary $below (list $below) }}
{{- $host := regexFind "^https?://[^/?#]*" (toString .) }}
{{- regexFind ":[0-9]+$" $host | trimPrefix ":" | default (hasPrefix "http:" $host | ternary "80" "443") }} {{ end }}
{{- else }}{{ include "matrixbot.urlPorts" $below }}{{ end }}
{{- end }}
{{- end }}
{{- else if kindIs "slice" $node }}
{{- range $node }}{{ include "matrixbot.urlPorts" . }}{{ end }}
{{- end }}
{{- end }}

{{/* The ports that matrixbot may connect to, as JSON, in order. */}}
{{- define "matrixbot.egressPorts" -}}
{{- $egress := .Values.networkPolicy.egress }}
{{- $ports := list }}
{{- range $egress.ports }}{{ $ports = append $ports (toString .) }}{{ end }}
{{- if $egress.ofConfiguration }}
{{- $ports = concat $ports (include "matrixbot.urlPorts" .Values.config | splitList " ") }}
{{- $database := .Values.database.url }}
{{- $named := regexFindAll ":[0-9]+" (regexFind "@[^/?]*" $database) -1 }}
{{- $named = concat $named (regexFindAll "[?&]port=[0-9]+" $database -1) }}
{{- $ports = concat $ports ($named | default (list "5432")) }}
{{- end }}
{{- $padded := list }}
{{- range $ports }}
{{- with regexFind "[0-9]+$" . }}{{ $padded = append $padded (printf "%05d" (atoi .)) }}{{ end }}
{{- end }}
{{- $padded | sortAlpha | uniq | toJson }}
{{- end }}
