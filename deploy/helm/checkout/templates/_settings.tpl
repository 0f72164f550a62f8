{{/*
Environment, files and volumes of a component. Each takes a dict:
  root       the chart's context
  component  producer, processor, sink or console
  kafka      a block of values over that of the component
  configFile a block of values over that of the component
  database   a block of values over that of the component
  files      more secretFiles
*/}}

{{/* The block `kafka` that applies, as YAML. */}}
{{- define "checkout.kafka" -}}
{{- $own := (index .root.Values .component).kafka | default dict -}}
{{- $kafka := mergeOverwrite (deepCopy .root.Values.kafka) (deepCopy $own) (deepCopy (.kafka | default dict)) -}}
{{- include "checkout.require" (list $kafka.bootstrapServers "kafka.bootstrapServers" "write the brokers, host:port,host:port") -}}
{{- if and $kafka.existingSecret $kafka.properties -}}
{{- fail (printf "kafka.existingSecret and kafka.properties are both set (%s): write all properties into the Secret %s, or none" .component $kafka.existingSecret) -}}
{{- end -}}
{{- toYaml $kafka -}}
{{- end -}}

{{/* The block `configFile` that applies, as YAML. */}}
{{- define "checkout.configFile" -}}
{{- $own := (index .root.Values .component).configFile | default dict -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.configFile) (deepCopy $own) (deepCopy (.configFile | default dict))) -}}
{{- end -}}

{{/* The block `database` that applies, as YAML; empty for a component without one. */}}
{{- define "checkout.database" -}}
{{- $own := (index .root.Values .component).database | default dict -}}
{{- toYaml (mergeOverwrite (deepCopy $own) (deepCopy (.database | default dict))) -}}
{{- end -}}

{{/* The variables in `settings` that apply, as YAML. The console's commands need those of the services. */}}
{{- define "checkout.settings" -}}
{{- $values := .root.Values -}}
{{- $settings := deepCopy $values.settings -}}
{{- if eq .component "console" -}}
{{- range $name, $value := mergeOverwrite (deepCopy $values.sink.settings) $values.processor.settings -}}
{{- if or (hasPrefix "VOUCHER" $name) (has $name (list "PROCESSOR_GROUP" "SINK_GROUP" "ORDER_STATUS_TOPIC" "ORDER_DEFAULT_CURRENCY")) -}}
{{- $_ := set $settings $name $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (mergeOverwrite $settings (deepCopy (index $values .component).settings)) -}}
{{- end -}}

{{/* Whole numbers of YAML are floats in Helm, and 1048576 would be written as 1.048576e+06. */}}
{{- define "checkout.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- define "checkout.environment" -}}
{{- $root := .root -}}
{{- $component := .component -}}
{{- $values := index $root.Values $component -}}
{{- $kafka := fromYaml (include "checkout.kafka" .) -}}
{{- $registry := $root.Values.schemaRegistry -}}
{{- $database := fromYaml (include "checkout.database" .) -}}
{{- $config := fromYaml (include "checkout.configFile" .) -}}
{{- if $config.existingSecret -}}
- name: CHECKOUT_CONFIG
  value: /etc/checkout/config/{{ $config.existingSecretKey }}
{{ end -}}
- name: KAFKA_BOOTSTRAP_SERVERS
  value: {{ $kafka.bootstrapServers | quote }}
{{- if $kafka.existingSecret }}
- name: KAFKA_PROPERTIES_FILE
  value: /etc/checkout/kafka/{{ $kafka.existingSecretKey }}
{{- else if $kafka.properties }}
{{- $properties := list }}
{{- range $name, $value := $kafka.properties }}
{{- $properties = append $properties (printf "%s=%s" $name (include "checkout.text" $value | replace "," "\\,")) }}
{{- end }}
- name: KAFKA_PROPERTIES
  value: {{ join "," $properties | quote }}
{{- end }}
{{- with $registry.url }}
- name: SCHEMA_REGISTRY_URL
  value: {{ . | quote }}
{{- with $registry.username }}
- name: SCHEMA_REGISTRY_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- if $registry.existingSecret }}
{{- $files := dict "PASSWORD" $registry.passwordKey "TOKEN" $registry.tokenKey "CA" $registry.caKey "CERTIFICATE" $registry.certificateKey "KEY" $registry.privateKeyKey }}
{{- range $name, $key := $files }}
{{- if $key }}
- name: SCHEMA_REGISTRY_{{ $name }}_FILE
  value: /etc/checkout/registry/{{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if $database.existingSecret }}
# No variable names a file with the URL. A configuration file keeps it out of the environment.
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ $database.existingSecret }}
      key: {{ $database.existingSecretKey }}
{{- with $database.sslMode }}
- name: PGSSLMODE
  value: {{ . | quote }}
{{- end }}
{{- with $database.sslRootCert }}
- name: PGSSLROOTCERT
  value: {{ . | quote }}
{{- end }}
{{- else if has $component (list "producer" "sink") }}
{{- include "checkout.require" (list $config.existingSecret (printf "%s.database.existingSecret" $component) "name a Secret with the URL of its database, or a configuration file with it in configFile.existingSecret") }}
{{- end }}
{{- if and (eq $component "console") $values.ordersDatabase.existingSecret }}
{{- include "checkout.require" (list (or $database.existingSecret $config.existingSecret) "console.database.existingSecret" "console.ordersDatabase needs it too, with the TLS settings of both") }}
- name: ORDERS_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ $values.ordersDatabase.existingSecret }}
      key: {{ $values.ordersDatabase.existingSecretKey }}
{{- end }}
{{- $address := printf "%s:8080" $root.Values.listenAddress }}
- name: {{ eq $component "console" | ternary "CONSOLE_HTTP_ADDR" "HTTP_ADDR" }}
  value: {{ $address | quote }}
{{- if eq $component "producer" }}
- name: HTTP_BULK_SPOOL_LIMIT
  value: {{ int64 $values.bulkSpoolBytes | quote }}
{{- if $values.apiKeys.existingSecret }}
- name: API_KEYS_FILE
  value: /etc/checkout/api-keys/{{ $values.apiKeys.existingSecretKey }}
{{- end }}
{{- end }}
{{- if eq $component "processor" }}
# The pod's name is the same after every restart, which is what transactional ids need.
- name: PROCESSOR_INSTANCE_ID
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- if has $component (list "processor" "console") }}
- name: VOUCHER_SIGNING_KEYS_FILE
  value: /etc/checkout/signing-keys/{{ $root.Values.processor.signingKeys.existingSecretKey }}
{{- end }}
{{- if eq $component "console" }}
- name: CONSOLE_KEYS_FILE
  value: /etc/checkout/console-keys/{{ $values.keys.existingSecretKey }}
{{- $name := include "checkout.fullname" $root }}
- name: CONSOLE_HOSTS
  value: {{ prepend $values.hosts (printf "%s-console" $name) | join "," | quote }}
{{- with $values.traceUrl }}
- name: CONSOLE_TRACE_URL
  value: {{ . | quote }}
{{- end }}
{{- if $root.Values.producer.enabled }}
- name: CONSOLE_PRODUCER_URLS
  value: http://{{ $name }}-producer-instances:8080
{{- end }}
{{- if $root.Values.processor.enabled }}
- name: CONSOLE_PROCESSOR_URLS
  value: http://{{ $name }}-processor:8080
{{- end }}
{{- if $root.Values.sink.enabled }}
- name: CONSOLE_SINK_URLS
  value: http://{{ $name }}-sink:8080
{{- end }}
{{- if and $root.Values.producer.enabled (or $values.ordersKey.existingSecret $root.Values.producer.insecure) }}
- name: CONSOLE_ORDERS_URL
  value: http://{{ $name }}-producer:{{ $root.Values.producer.service.port }}
{{- if $values.ordersKey.existingSecret }}
- name: CONSOLE_ORDERS_KEY_FILE
  value: /etc/checkout/orders-key/{{ $values.ordersKey.existingSecretKey }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := fromYaml (include "checkout.settings" .) }}
- name: {{ $name }}
  value: {{ include "checkout.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* Secrets that are mounted as files, as a map from the folder below /etc/checkout to the Secret, in YAML. */}}
{{- define "checkout.secrets" -}}
{{- $values := index .root.Values .component -}}
{{- $kafka := fromYaml (include "checkout.kafka" .) -}}
{{- $secrets := dict -}}
{{- with $kafka.existingSecret }}{{ $_ := set $secrets "kafka" . }}{{ end -}}
{{- with (fromYaml (include "checkout.configFile" .)).existingSecret }}{{ $_ := set $secrets "config" . }}{{ end -}}
{{- with .root.Values.schemaRegistry }}{{ if and .url .existingSecret }}{{ $_ := set $secrets "registry" .existingSecret }}{{ end }}{{ end -}}
{{- if eq .component "producer" -}}
{{- with $values.apiKeys.existingSecret }}{{ $_ := set $secrets "api-keys" . }}{{ end -}}
{{- end -}}
{{- if has .component (list "processor" "console") -}}
{{- $_ := set $secrets "signing-keys" .root.Values.processor.signingKeys.existingSecret -}}
{{- end -}}
{{- if eq .component "console" -}}
{{- $_ := set $secrets "console-keys" $values.keys.existingSecret -}}
{{- with $values.ordersKey.existingSecret }}{{ $_ := set $secrets "orders-key" . }}{{ end -}}
{{- end -}}
{{- range concat .root.Values.secretFiles $values.secretFiles (.files | default list) -}}
{{- $_ := set $secrets (printf "files/%s" .name) .secretName -}}
{{- end -}}
{{- toYaml $secrets -}}
{{- end -}}

{{/* Names of volumes begin with what owns them, because the names in secretFiles are the user's. */}}
{{- define "checkout.mounts" -}}
{{- range $folder, $secret := fromYaml (include "checkout.secrets" .) }}
- name: secret-{{ $folder | replace "/" "-" }}
  mountPath: /etc/checkout/{{ $folder }}
  readOnly: true
{{- end }}
{{- if has .component (list "producer" "console") }}
- name: temporary
  mountPath: /tmp
{{- end }}
{{- end -}}

{{- define "checkout.volumes" -}}
{{- range $folder, $secret := fromYaml (include "checkout.secrets" .) }}
- name: secret-{{ $folder | replace "/" "-" }}
  secret:
    secretName: {{ $secret }}
    defaultMode: 0440
{{- end }}
{{- if eq .component "producer" }}
- name: temporary
  emptyDir:
    # A quarter more than the producer uses: a pod above its limit is evicted.
    sizeLimit: {{ div (mul (int64 .root.Values.producer.bulkSpoolBytes) 5) 4 | quote }}
{{- end }}
{{- if eq .component "console" }}
- name: temporary
  emptyDir:
    sizeLimit: 1Gi
{{- end }}
{{- end -}}
