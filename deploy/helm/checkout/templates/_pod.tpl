{{/* The pod of a component: a dict with root and component. */}}

{{- define "checkout.probe" -}}
httpGet:
  path: {{ index . 0 }}
  port: http
{{ toYaml (index . 1) }}
{{- end -}}

{{- define "checkout.arguments" -}}
{{- $values := index .root.Values .component -}}
{{- $arguments := list "run" -}}
{{- if and (eq .component "producer") $values.insecure -}}
{{- $arguments = append $arguments "--insecure" -}}
{{- end -}}
{{- toYaml (concat $arguments $values.extraArgs) -}}
{{- end -}}

{{/* Spreads over nodes and zones, for each revision by itself, so that an update does not unbalance it. */}}
{{- define "checkout.spread" -}}
{{- $revision := eq .component "processor" | ternary "controller-revision-hash" "pod-template-hash" -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "checkout.selector" $ | nindent 6 }}
  matchLabelKeys: [{{ $revision }}]
{{- end }}
{{- end -}}

{{/* Fails if Kubernetes would kill a pod before its service has ended. HTTP_SHUTDOWN_DELAY is the producer's alone. */}}
{{- define "checkout.requireGrace" -}}
{{- $values := index .root.Values .component -}}
{{- $parts := "preStopSleepSeconds and 25 s" -}}
{{- $needed := add $values.preStopSleepSeconds 25 -}}
{{- if eq .component "producer" -}}
{{- $parts = "preStopSleepSeconds, HTTP_SHUTDOWN_DELAY and 25 s" -}}
{{- $needed = add $needed (dig "HTTP_SHUTDOWN_DELAY" 5 (fromYaml (include "checkout.settings" .)) | int) -}}
{{- end -}}
{{- if lt (int $values.terminationGracePeriodSeconds) (int $needed) -}}
{{- fail (printf "%s.terminationGracePeriodSeconds is too short: %s are %d s" .component $parts (int $needed)) -}}
{{- end -}}
{{- end -}}

{{- define "checkout.pod" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .component -}}
{{- include "checkout.requireGrace" . -}}
metadata:
  labels:
    {{- include "checkout.podLabels" . | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "checkout.serviceAccountName" $root }}
  automountServiceAccountToken: {{ $root.Values.serviceAccount.automount }}
  # A Service named kafka would set KAFKA_PORT and the like, which could be taken for settings.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $root.Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "checkout.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      # The image has no entrypoint of its own.
      command: [{{ .component }}]
      args:
        {{- include "checkout.arguments" . | nindent 8 }}
      env:
        {{- include "checkout.environment" . | nindent 8 }}
        {{- with concat $root.Values.extraEnv $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: http
          containerPort: 8080
      startupProbe:
        {{- include "checkout.probe" (list "/livez" $root.Values.probes.startup) | nindent 8 }}
      livenessProbe:
        {{- include "checkout.probe" (list "/livez" $root.Values.probes.liveness) | nindent 8 }}
      readinessProbe:
        {{- include "checkout.probe" (list "/readyz" $root.Values.probes.readiness) | nindent 8 }}
      {{- if $values.preStopSleepSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $values.preStopSleepSeconds }}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      {{- with $root.Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- $mounts := include "checkout.mounts" . | trim }}
      {{- if or $mounts $values.extraVolumeMounts }}
      volumeMounts:
        {{- with $mounts }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
  {{- $volumes := include "checkout.volumes" . | trim }}
  {{- if or $volumes $values.extraVolumes }}
  volumes:
    {{- with $volumes }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if kindIs "invalid" $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- include "checkout.spread" . | trim | nindent 4 }}
  {{- else if $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml $values.topologySpreadConstraints | nindent 4 }}
  {{- end }}
{{- end -}}
