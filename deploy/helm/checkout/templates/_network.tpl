{{/* Rules of network policies. */}}

{{/* A rule of egress: a list of the block of values, and the protocols. Nothing without ports. */}}
{{- define "checkout.egress" -}}
{{- $block := index . 0 -}}
{{- $protocols := index . 1 -}}
{{- if $block.ports }}
- ports:
    {{- range $port := $block.ports }}
    {{- range $protocols }}
    - port: {{ int $port }}
      protocol: {{ . }}
    {{- end }}
    {{- end }}
  {{- with $block.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What every component must reach: a dict with root and database, whether it uses Postgres. */}}
{{- define "checkout.backends" -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- include "checkout.egress" (list $policy.dns (list "UDP" "TCP")) }}
{{- include "checkout.egress" (list $policy.kafka (list "TCP")) }}
{{- if .root.Values.schemaRegistry.url }}
{{- include "checkout.egress" (list $policy.schemaRegistry (list "TCP")) }}
{{- end }}
{{- if .database }}
{{- include "checkout.egress" (list $policy.postgres (list "TCP")) }}
{{- end }}
{{- include "checkout.egress" (list $policy.otlp (list "TCP")) }}
{{- with $policy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
