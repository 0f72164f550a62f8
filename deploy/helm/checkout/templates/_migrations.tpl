{{/* The Job that migrates. */}}

{{/* One step, as the container of a component with another command: a dict with of and step. */}}
{{- define "checkout.migration" -}}
{{- $root := .of.root -}}
name: {{ .step.name }}
image: {{ include "checkout.image" $root }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
command: [{{ first .step.command }}]
args:
  {{- toYaml (rest .step.command) | nindent 2 }}
env:
  {{- include "checkout.environment" .of | nindent 2 }}
resources:
  {{- toYaml $root.Values.migrations.resources | nindent 2 }}
{{- with $root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "checkout.mounts" .of | trim }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The Job's spec. All steps but the last are init containers, which run one after the other. */}}
{{- define "checkout.migrations" -}}
{{- $migrations := .root.Values.migrations -}}
backoffLimit: {{ $migrations.backoffLimit }}
activeDeadlineSeconds: {{ $migrations.activeDeadlineSeconds }}
ttlSecondsAfterFinished: {{ $migrations.ttlSecondsAfterFinished }}
template:
  metadata:
    labels:
      {{- include "checkout.podLabels" (dict "root" .root "component" "migrations") | nindent 6 }}
    {{- with $migrations.podAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ $migrations.serviceAccountName }}
    automountServiceAccountToken: false
    enableServiceLinks: false
    {{- with .root.Values.image.pullSecrets }}
    imagePullSecrets:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .root.Values.podSecurityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with initial .containers }}
    initContainers:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    containers:
      - {{ last .containers | toYaml | nindent 8 | trim }}
    {{- with .volumes }}
    volumes:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end -}}

{{- define "checkout.migrationsPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "checkout.fullname" .root }}-migrations
  labels:
    {{- include "checkout.labels" (dict "root" .root "component" "migrations") | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- include "checkout.selector" (dict "root" .root "component" "migrations") | nindent 6 }}
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "checkout.backends" (dict "root" .root "database" true) | trim | nindent 4 }}
{{- end -}}
