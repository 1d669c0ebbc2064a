{{/* Lists every problem of the values that the schema cannot express. */}}
{{- define "matrixbot.problems" -}}
{{- $values := .Values }}
{{- $problems := list }}
{{- if not $values.config.homeserver.url }}
{{- $problems = append $problems "config.homeserver.url is missing: the homeserver's URL, such as http://synapse.matrix.svc:8008" }}
{{- end }}
{{- if not $values.config.homeserver.server_name }}
{{- $problems = append $problems "config.homeserver.server_name is missing: the part after the colon in your user ids" }}
{{- end }}
{{- if not (or $values.registration.value $values.registration.existingSecret) }}
{{- $problems = append $problems "registration.value or registration.existingSecret is missing; `matrixbot registration` writes a registration" }}
{{- end }}
{{- if and $values.registration.value $values.registration.existingSecret }}
{{- $problems = append $problems "registration.value and registration.existingSecret: set only one of them" }}
{{- end }}
{{- if not (or $values.database.url $values.database.existingSecret $values.cloudNativePG.enabled) }}
{{- $problems = append $problems "database.url, database.existingSecret or cloudNativePG.enabled is missing" }}
{{- else if and $values.database.url (or $values.database.existingSecret $values.cloudNativePG.enabled) }}
{{- $problems = append $problems "database.url cannot be combined with database.existingSecret or cloudNativePG.enabled: set only one of them" }}
{{- end }}
{{- if not $values.config.room_lists }}
{{- $problems = append $problems "config.room_lists must contain at least one room list" }}
{{- end }}
{{- if and (or $values.webhookTokens.values $values.webhookTokens.shared) $values.webhookTokens.existingSecret }}
{{- $problems = append $problems "webhookTokens.values or .shared cannot be combined with webhookTokens.existingSecret" }}
{{- end }}
{{- $tokens := include "matrixbot.tokenLists" . | fromJsonArray }}
{{- range $tokens }}
{{- if contains "=" . }}
{{- $problems = append $problems (printf "config.room_lists: %q cannot be a key of a Secret; set its webhook_token to ${ENV_NAME}, and the variable in extraEnv" .) }}
{{- else if not (or $values.webhookTokens.existingSecret $values.webhookTokens.shared (index $values.webhookTokens.values .)) }}
{{- $problems = append $problems (printf "webhookTokens.values.%s, .shared or .existingSecret is missing; for a webhook without a token, set `webhook_auth: none`" .) }}
{{- end }}
{{- end }}
{{- range $name, $token := $values.webhookTokens.values }}
{{- if not (has $name $tokens) }}
{{- $problems = append $problems (printf "webhookTokens.values.%s: no room list of this name uses it" $name) }}
{{- end }}
{{- end }}
{{- if and $values.tls.listeners (not (or $values.tls.existingSecret $values.tls.issuerRef.name)) }}
{{- $problems = append $problems "tls.existingSecret or tls.issuerRef.name is missing: the listeners need a certificate" }}
{{- end }}
{{- range $name := list "webhook" "appservice" }}
{{- $ingress := index $values.ingress $name }}
{{- if and $ingress.enabled (not $ingress.hosts) }}
{{- $problems = append $problems (printf "ingress.%s.hosts must contain at least one host name" $name) }}
{{- end }}
{{- end }}
{{- if $values.certificate.enabled }}
{{- if not $values.certificate.issuerRef.name }}
{{- $problems = append $problems "certificate.issuerRef.name is missing" }}
{{- end }}
{{- if not (include "matrixbot.ingressNames" . | fromJsonArray) }}
{{- $problems = append $problems "certificate.enabled: nothing uses the certificate; enable an Ingress without tlsSecret, or set certificate.dnsNames" }}
{{- end }}
{{- end }}
{{- $ports := list (int $values.listen.appservice) (int $values.listen.webhook) (int $values.listen.admin) }}
{{- if ne (len (uniq $ports)) 3 }}
{{- $problems = append $problems "listen: the three ports must differ" }}
{{- end }}
{{- if and (eq $values.strategy.type "RollingUpdate") (eq (toString $values.strategy.rollingUpdate.maxUnavailable) "0") (eq (toString $values.strategy.rollingUpdate.maxSurge) "0") }}
{{- $problems = append $problems "strategy.rollingUpdate: maxUnavailable and maxSurge cannot both be 0" }}
{{- end }}
{{- if $problems }}
{{- fail (printf "\n\nThe values are invalid:\n  - %s\n" (join "\n  - " $problems)) }}
{{- end }}
{{- end }}

{{/* The names in the Ingresses' certificate, as JSON. */}}
{{- define "matrixbot.ingressNames" -}}
{{- $names := .Values.certificate.dnsNames }}
{{- range $name := list "webhook" "appservice" }}
{{- $ingress := index $.Values.ingress $name }}
{{- if and $ingress.enabled (not $ingress.tlsSecret) }}{{ $names = concat $names $ingress.hosts }}{{ end }}
{{- end }}
{{- uniq $names | toJson }}
{{- end }}

{{/* Whether cert-manager issues the listeners' certificate. */}}
{{- define "matrixbot.listenersHaveCertificate" -}}
{{ and (not (empty .Values.tls.listeners)) (empty .Values.tls.existingSecret) (not (empty .Values.tls.issuerRef.name)) }}
{{- end }}

{{/* The names of the Services whose listeners use TLS, as JSON. */}}
{{- define "matrixbot.listenerNames" -}}
{{- $names := list }}
{{- range .Values.tls.listeners }}
{{- $service := printf "%s-%s.%s" (include "matrixbot.fullname" $) . $.Release.Namespace }}
{{- $names = concat $names (list $service (printf "%s.svc" $service) (printf "%s.svc.cluster.local" $service)) }}
{{- end }}
{{- toJson $names }}
{{- end }}
