{{/* Names and labels. */}}

{{- define "matrixbot.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Leaves room for the longest suffix, such as "-certificate", within 63 characters. */}}
{{- define "matrixbot.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" }}
{{- else }}
{{- $name := include "matrixbot.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 46 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Labels that never change during the life of a release, because the Deployment's selector cannot. */}}
{{- define "matrixbot.selectorLabels" -}}
app.kubernetes.io/name: {{ include "matrixbot.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: bot
{{- end }}

{{/*
The labels of an object. Call with (dict "root" $ "component" "…" "extra" labels). A pod has no label of the chart's
version, so a release of the chart alone replaces no pods: call with "pod" true.
*/}}
{{- define "matrixbot.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "matrixbot.name" .root)
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/version" (.root.Chart.AppVersion | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" "matrixbot"
  "app.kubernetes.io/component" (.component | default "bot") }}
{{- if not .pod }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- end }}
{{- toYaml (merge $own (.extra | default dict) .root.Values.commonLabels) }}
{{- end }}

{{/*
The metadata of an object. Call with a dict of root, name, and any of: component, namespace, labels,
annotations.
*/}}
{{- define "matrixbot.metadata" -}}
name: {{ .name }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "matrixbot.labels" (dict "root" .root "component" .component "extra" .labels) | nindent 2 }}
{{- with merge (deepCopy (.annotations | default dict)) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "matrixbot.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "matrixbot.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "matrixbot.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/* The Secret with the certificate of the Ingresses. */}}
{{- define "matrixbot.certificateSecret" -}}
{{ include "matrixbot.fullname" . }}-tls
{{- end }}

{{/* The Secret with the certificate of the listeners. */}}
{{- define "matrixbot.listenerTlsSecret" -}}
{{ .Values.tls.existingSecret | default (printf "%s-services-tls" (include "matrixbot.fullname" .)) }}
{{- end }}

{{- define "matrixbot.databaseCluster" -}}
{{ include "matrixbot.fullname" . }}-db
{{- end }}

{{/* http or https, by listener. Call with (dict "root" $ "listener" "…"). */}}
{{- define "matrixbot.scheme" -}}
{{ has .listener .root.Values.tls.listeners | ternary "https" "http" }}
{{- end }}

{{/* The URL of matrixbot's own Service inside the cluster. Call with (dict "root" $ "listener" "…"). */}}
{{- define "matrixbot.serviceUrl" -}}
{{ include "matrixbot.scheme" . }}://{{ include "matrixbot.fullname" .root }}-{{ .listener }}.{{ .root.Release.Namespace }}.svc:{{ (index .root.Values.service .listener).port }}
{{- end }}
