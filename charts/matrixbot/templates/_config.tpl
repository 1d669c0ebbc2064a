{{/* config.yaml, the files that it names, and how a pod mounts them. */}}

{{/*
config.yaml. Call with (dict "root" $), and "migrating" true for the migration Job: it does not listen, and runs before
the certificate exists.
*/}}
{{- define "matrixbot.config" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $config := deepCopy $values.config }}
{{- include "matrixbot.dropForeign" $config }}
{{- $listen := dict }}
{{- range $listener := list "appservice" "webhook" "admin" }}
{{- $address := printf "%s:%d" $values.listen.address (int (index $values.listen $listener)) }}
{{- $one := dict "address" $address }}
{{- if and (has $listener $values.tls.listeners) (not $.migrating) }}
{{- $_ := set $one "tls" (dict "certificate" "/etc/matrixbot/tls/tls.crt" "key" "/etc/matrixbot/tls/tls.key") }}
{{- end }}
{{- $_ := set $listen $listener $one }}
{{- end }}
{{- $_ := set $config "listen" $listen }}
{{- $_ := set $config "registration" "/etc/matrixbot/registration/registration.yaml" }}
{{- $_ := set $config "database" (dict
  "url_file" "/etc/matrixbot/database/url"
  "max_connections" (int $values.database.maxConnections)
  "migrate" (eq (include "matrixbot.migratesAtStart" $root) "true")) }}
{{- $lists := list }}
{{- range $config.room_lists }}
{{- if eq (include "matrixbot.needsToken" .) "true" }}
{{- $_ := set . "webhook_token_file" (printf "/etc/matrixbot/webhook-tokens/%s" .name) }}
{{- end }}
{{- $lists = append $lists . }}
{{- end }}
{{- $_ := set $config "room_lists" $lists }}
{{- toYaml $config }}
{{- end }}

{{/* Whether a room list's token comes from webhookTokens. */}}
{{- define "matrixbot.needsToken" -}}
{{ not (or .webhook_token .webhook_token_file (eq (.webhook_auth | default "token") "none")) }}
{{- end }}

{{/* The names of the room lists whose tokens come from webhookTokens, as JSON. */}}
{{- define "matrixbot.tokenLists" -}}
{{- $names := list }}
{{- range .Values.config.room_lists }}
{{- if eq (include "matrixbot.needsToken" .) "true" }}{{ $names = append $names .name }}{{ end }}
{{- end }}
{{- toJson $names }}
{{- end }}

{{/*
Whether pods migrate the database at their start. With CloudNativePG they do so in addition to the Job: the database does
not exist before the first installation.
*/}}
{{- define "matrixbot.migratesAtStart" -}}
{{ or (not .Values.migrationJob.enabled) .Values.cloudNativePG.enabled }}
{{- end }}

{{/*
The chart's own Secret: key to text, as JSON. Room lists' tokens are "webhook-token.<room list>",
files are "file.<name>".
*/}}
{{- define "matrixbot.secretData" -}}
{{- $data := dict }}
{{- if and .Values.registration.value (not .Values.registration.existingSecret) }}
{{- $_ := set $data "registration.yaml" .Values.registration.value }}
{{- end }}
{{- if and .Values.database.url (not .Values.database.existingSecret) (not .Values.cloudNativePG.enabled) }}
{{- $_ := set $data "database-url" .Values.database.url }}
{{- end }}
{{- if not .Values.webhookTokens.existingSecret }}
{{- range include "matrixbot.tokenLists" . | fromJsonArray }}
{{- $_ := set $data (printf "webhook-token.%s" .) (index $.Values.webhookTokens.values . | default $.Values.webhookTokens.shared) }}
{{- end }}
{{- end }}
{{- range $name, $content := .Values.files }}
{{- $_ := set $data (printf "file.%s" $name) $content }}
{{- end }}
{{- toJson $data }}
{{- end }}

{{/*
The Secret with the database's URL: its name and key, as JSON. Call with root, own (the chart's own Secret), and migrating:
with CloudNativePG and a URL of its pooler, only the migration connects directly.
*/}}
{{- define "matrixbot.databaseSecret" -}}
{{- $values := .root.Values }}
{{- if and $values.cloudNativePG.enabled (or .migrating (not $values.database.existingSecret)) }}
{{- toJson (dict "name" (printf "%s-app" (include "matrixbot.databaseCluster" .root)) "key" "uri") }}
{{- else if $values.database.existingSecret }}
{{- toJson (dict "name" $values.database.existingSecret "key" $values.database.key) }}
{{- else }}
{{- toJson (dict "name" .own "key" "database-url") }}
{{- end }}
{{- end }}

{{/* The volumes of a pod that reads the configuration. Call with root, own (the name of the ConfigMap and Secret), migrating. */}}
{{- define "matrixbot.volumes" -}}
{{- $values := .root.Values }}
{{- $tokens := include "matrixbot.tokenLists" .root | fromJsonArray }}
- name: config
  configMap:
    name: {{ .own }}
- name: registration
  secret:
    secretName: {{ $values.registration.existingSecret | default .own }}
    defaultMode: 0440
    items:
      - key: {{ $values.registration.existingSecret | empty | not | ternary $values.registration.key "registration.yaml" }}
        path: registration.yaml
{{- $database := include "matrixbot.databaseSecret" . | fromJson }}
- name: database
  secret:
    secretName: {{ $database.name }}
    defaultMode: 0440
    items:
      - key: {{ $database.key }}
        path: url
{{- if $tokens }}
- name: webhook-tokens
  secret:
    secretName: {{ $values.webhookTokens.existingSecret | default .own }}
    defaultMode: 0440
    items:
      {{- range $tokens }}
      - key: {{ $values.webhookTokens.existingSecret | empty | not | ternary . (printf "webhook-token.%s" .) }}
        path: {{ . }}
      {{- end }}
{{- end }}
{{- if $values.files }}
- name: files
  secret:
    secretName: {{ .own }}
    defaultMode: 0440
    items:
      {{- range $name, $content := $values.files }}
      - key: {{ printf "file.%s" $name }}
        path: {{ $name }}
      {{- end }}
{{- end }}
{{- if and $values.tls.listeners (not .migrating) }}
- name: tls
  secret:
    secretName: {{ include "matrixbot.listenerTlsSecret" .root }}
    defaultMode: 0440
{{- end }}
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The mounts of those volumes. Call with root, migrating. */}}
{{- define "matrixbot.volumeMounts" -}}
{{- $values := .root.Values }}
{{- $folders := list "config" "registration" "database" }}
{{- if include "matrixbot.tokenLists" .root | fromJsonArray }}{{ $folders = append $folders "webhook-tokens" }}{{ end }}
{{- if $values.files }}{{ $folders = append $folders "files" }}{{ end }}
{{- if and $values.tls.listeners (not .migrating) }}{{ $folders = append $folders "tls" }}{{ end }}
{{- range $folders }}
- name: {{ . }}
  mountPath: /etc/matrixbot/{{ . }}
  readOnly: true
{{- end }}
{{- with $values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The environment of a container that runs the program. */}}
{{- define "matrixbot.env" -}}
env:
  - name: MATRIXBOT_CONFIG
    value: /etc/matrixbot/config/config.yaml
  - name: MATRIXBOT_LOG_FORMAT
    value: {{ .Values.logs.format | quote }}
  - name: RUST_LOG
    value: {{ .Values.logs.level | quote }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
