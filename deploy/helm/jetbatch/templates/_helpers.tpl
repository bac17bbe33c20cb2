{{- define "jetbatch.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Short enough that a pool's name fits behind it. */}}
{{- define "jetbatch.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "jetbatch.name" .) .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name (include "jetbatch.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* A pool's workers: no name in Kubernetes has an underscore, and two pools must not meet in one name. */}}
{{- define "jetbatch.workers" -}}
{{- $name := printf "%s-worker-%s" (include "jetbatch.fullname" .root) (.pool | replace "_" "-") }}
{{- if or (contains "_" .pool) (gt (len $name) 63) (hasSuffix "-" $name) }}
{{- printf "%s-%s" ($name | trunc 54 | trimSuffix "-") (.pool | sha256sum | trunc 8) }}
{{- else }}{{ $name }}{{ end }}
{{- end }}

{{- define "jetbatch.selector" -}}
app.kubernetes.io/name: {{ include "jetbatch.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
jetbatch/pool: {{ ternary . (sha256sum . | trunc 16) (regexMatch "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$" .) | quote }}
{{- end }}
{{- end }}

{{- define "jetbatch.labels" -}}
{{ include "jetbatch.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "jetbatch.account" -}}
{{- .Values.serviceAccount.name | default (include "jetbatch.fullname" .) }}
{{- end }}

{{- define "jetbatch.image" -}}
{{- $own := .image | default dict }}
{{- printf "%s:%s" ($own.repository | default .root.Values.image.repository) ($own.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end }}

{{- define "jetbatch.check" -}}
{{- $logins := 0 }}
{{- range list .Values.nats.credentials.secret .Values.nats.nkey.secret .Values.nats.login.secret }}
{{- if . }}{{ $logins = add1 $logins }}{{ end }}
{{- end }}
{{- if gt (int $logins) 1 }}{{ fail "nats.credentials, nats.nkey and nats.login: name one secret, not several" }}{{ end }}
{{- $pools := list }}
{{- range .Values.workers }}
{{- $pool := .pool }}
{{- if has $pool $pools }}{{ fail (printf "workers: pool %s stands there twice" $pool) }}{{ end }}
{{- $pools = append $pools $pool }}
{{- $scale := (mergeOverwrite (deepCopy $.Values.workerDefaults) .).autoscaling }}
{{- if gt (int $scale.min) (int $scale.max) }}{{ fail (printf "workers.%s.autoscaling: min is more than max" $pool) }}{{ end }}
{{- if and (eq $scale.kind "hpa") (lt (int $scale.min) 1) }}{{ fail (printf "workers.%s.autoscaling: min 0 needs kind keda" $pool) }}{{ end }}
{{- if not (contains (printf "[pools.%s." $pool) $.Values.config) }}{{ fail (printf "workers.%s: config has no [pools.%s.engine]" $pool $pool) }}{{ end }}
{{- end }}
{{- end }}

{{- /* Variables that every process has. */}}
{{- define "jetbatch.env" -}}
- { name: JETBATCH__NATS__URL, value: {{ .Values.nats.url | quote }} }
- { name: JETBATCH__NATS__REPLICAS, value: {{ .Values.nats.replicas | quote }} }
{{- if .Values.nats.credentials.secret }}
- { name: JETBATCH__NATS__CREDENTIALS_FILE, value: "/etc/jetbatch/nats/{{ .Values.nats.credentials.key }}" }
{{- end }}
{{- if .Values.nats.nkey.secret }}
- { name: JETBATCH__NATS__NKEY_FILE, value: "/etc/jetbatch/nats/{{ .Values.nats.nkey.key }}" }
{{- end }}
{{- with .Values.nats.login }}
{{- if .secret }}
- name: JETBATCH__NATS__USER
  valueFrom: { secretKeyRef: { name: {{ .secret | quote }}, key: {{ .userKey | quote }} } }
- name: JETBATCH__NATS__PASSWORD
  valueFrom: { secretKeyRef: { name: {{ .secret | quote }}, key: {{ .passwordKey | quote }} } }
{{- end }}
{{- end }}
{{- with .Values.nats.tls }}
{{- if .required }}
- { name: JETBATCH__NATS__TLS__REQUIRED, value: "true" }
{{- end }}
{{- if .ca.secret }}
- { name: JETBATCH__NATS__TLS__CA, value: "/etc/jetbatch/nats-ca/{{ .ca.key }}" }
{{- end }}
{{- if .client.secret }}
- { name: JETBATCH__NATS__TLS__CERT, value: /etc/jetbatch/nats-client/tls.crt }
- { name: JETBATCH__NATS__TLS__KEY, value: /etc/jetbatch/nats-client/tls.key }
{{- end }}
{{- end }}
{{- with .Values.telemetry.otlpEndpoint }}
- { name: JETBATCH__TELEMETRY__OTLP_ENDPOINT, value: {{ . | quote }} }
{{- end }}
- { name: JETBATCH__TELEMETRY__LOG_FORMAT, value: {{ .Values.telemetry.logFormat | quote }} }
- { name: JETBATCH__TELEMETRY__LOG, value: {{ .Values.telemetry.log | quote }} }
{{- end }}

{{- /* Of gateways and heads. */}}
{{- define "jetbatch.storeEnv" -}}
- { name: JETBATCH__HTTP__LISTEN, value: "0.0.0.0:8800" }
- { name: JETBATCH__STORE__URL, value: {{ .Values.store.url | default "/var/lib/jetbatch/store" | quote }} }
{{- range $name, $value := .Values.store.options }}
- { name: JETBATCH__STORE__OPTIONS__{{ $name | upper }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}

{{- define "jetbatch.mounts" -}}
- { name: config, mountPath: /etc/jetbatch/config, readOnly: true }
- { name: work, mountPath: /var/lib/jetbatch }
- { name: tmp, mountPath: /tmp }
{{- if or .Values.nats.credentials.secret .Values.nats.nkey.secret }}
- { name: nats, mountPath: /etc/jetbatch/nats, readOnly: true }
{{- end }}
{{- if .Values.nats.tls.ca.secret }}
- { name: nats-ca, mountPath: /etc/jetbatch/nats-ca, readOnly: true }
{{- end }}
{{- if .Values.nats.tls.client.secret }}
- { name: nats-client, mountPath: /etc/jetbatch/nats-client, readOnly: true }
{{- end }}
{{- end }}

{{- define "jetbatch.volumes" -}}
- name: config
  configMap: { name: {{ include "jetbatch.fullname" . }} }
- name: tmp
  emptyDir: {}
{{- with .Values.nats.credentials.secret | default .Values.nats.nkey.secret }}
- name: nats
  secret: { secretName: {{ . | quote }} }
{{- end }}
{{- with .Values.nats.tls.ca.secret }}
- name: nats-ca
  secret: { secretName: {{ . | quote }} }
{{- end }}
{{- with .Values.nats.tls.client.secret }}
- name: nats-client
  secret: { secretName: {{ . | quote }} }
{{- end }}
{{- end }}

{{- /* Where a pod goes, and how it is annotated. */}}
{{- define "jetbatch.place" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* A Deployment of gateways or of heads: root, component, roles, values. */}}
{{- define "jetbatch.doors" -}}
{{- $root := .root }}
{{- $values := .values }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "jetbatch.fullname" $root }}-{{ .component }}
  labels: {{- include "jetbatch.labels" . | nindent 4 }}
spec:
  replicas: {{ $values.replicas }}
  selector:
    matchLabels: {{- include "jetbatch.selector" . | nindent 6 }}
  strategy:
    rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
  template:
    metadata:
      labels: {{- include "jetbatch.labels" . | nindent 8 }}
      annotations:
        checksum/config: {{ $root.Values.config | sha256sum }}
        {{- with $values.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      serviceAccountName: {{ include "jetbatch.account" $root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {{- toYaml $root.Values.podSecurityContext | nindent 8 }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      # Each room has 10 s to stop.
      terminationGracePeriodSeconds: 75
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "jetbatch.selector" . | nindent 14 }}
      {{- with include "jetbatch.place" $values }}{{ . | nindent 6 }}{{ end }}
      containers:
        - name: jetbatch
          image: {{ include "jetbatch.image" (dict "root" $root) | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [serve, --config, /etc/jetbatch/config/jetbatch.toml, --roles, {{ .roles | quote }}]
          securityContext: {{- toYaml $root.Values.securityContext | nindent 12 }}
          ports:
            - { name: http, containerPort: 8800 }
          # Models are no matter of theirs, but a start waits for NATS, and reads what the log says of all active jobs.
          startupProbe:
            httpGet: { path: /healthz, port: http }
            periodSeconds: 2
            failureThreshold: 150
          livenessProbe:
            httpGet: { path: /healthz, port: http }
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: { path: /readyz, port: http }
            periodSeconds: 5
            timeoutSeconds: 10
          resources: {{- toYaml $values.resources | nindent 12 }}
          {{- with $root.Values.store.secret }}
          envFrom:
            - secretRef: { name: {{ . | quote }} }
          {{- end }}
          env: {{- include "jetbatch.env" $root | nindent 12 }}
            {{- include "jetbatch.storeEnv" $root | nindent 12 }}
            {{- with $values.env }}{{ toYaml . | nindent 12 }}{{ end }}
          volumeMounts: {{- include "jetbatch.mounts" $root | nindent 12 }}
            {{- if not $root.Values.store.url }}
            - { name: store, mountPath: /var/lib/jetbatch/store }
            {{- end }}
      volumes: {{- include "jetbatch.volumes" $root | nindent 8 }}
        - name: work
          emptyDir: {}
        {{- if not $root.Values.store.url }}
        - name: store
          persistentVolumeClaim: { claimName: {{ $root.Values.store.claim.existing | default (printf "%s-store" (include "jetbatch.fullname" $root)) | quote }} }
        {{- end }}
{{- end }}
