{{/* Names, labels and images. */}}

{{- define "checkout.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Leaves room for the longest suffix: the name of a StatefulSet's pod is a label. */}}
{{- define "checkout.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "checkout.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "checkout.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
What the jobs in Prometheus begin with. It contains "checkout", by which the rules find them, and it is the
release's own: CheckoutRelayAbsent takes all producers of a job for those of one outbox.
*/}}
{{- define "checkout.job" -}}
{{- $name := include "checkout.fullname" . -}}
{{- contains "checkout" $name | ternary $name (printf "%s-checkout" $name) -}}
{{- end -}}

{{/* Labels that select the pods of a component. They never change: selectors are immutable. */}}
{{- define "checkout.selector" -}}
app.kubernetes.io/name: {{ include "checkout.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "checkout.labels" -}}
{{ include "checkout.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: checkout
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Labels of pods. Without versions: another chart with the same pods restarts nothing. */}}
{{- define "checkout.podLabels" -}}
{{ include "checkout.selector" . }}
app.kubernetes.io/part-of: checkout
{{- end -}}

{{- define "checkout.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "checkout.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "checkout.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Fails with a sentence if a value is empty: a list of the value, its name, and what to do. */}}
{{- define "checkout.require" -}}
{{- if not (index . 0) -}}
{{- fail (printf "%s is not set: %s" (index . 1) (index . 2)) -}}
{{- end -}}
{{- end -}}
