{{- define "tidegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: a StatefulSet's pods carry a hash of ten behind its name in a label. */}}
{{- define "tidegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "tidegate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tidegate.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.selector" -}}
app.kubernetes.io/name: {{ include "tidegate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tidegate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "tidegate.selector" . }}
app.kubernetes.io/version: {{ include "tidegate.tag" . | trunc 63 | quote }}
app.kubernetes.io/component: stream-processor
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tidegate.metadata" -}}
name: {{ include "tidegate.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "tidegate.labels" . | nindent 2 }}
{{- end -}}

{{- define "tidegate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tidegate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* `--set image.tag=1` gives a number, and a file of values does, too. */}}
{{- define "tidegate.tag" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- if kindIs "string" $tag }}{{ $tag }}{{ else }}{{ int64 $tag }}{{ end -}}
{{- end -}}

{{- define "tidegate.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (include "tidegate.tag" .) -}}
{{- end -}}
{{- end -}}

{{/* What the program is told, without secrets. Numbers as whole numbers, not as 1e+06. */}}
{{- define "tidegate.environment" -}}
TIDEGATE_APPLICATION_ID: {{ .Values.applicationId | quote }}
TIDEGATE_BOOTSTRAP: {{ .Values.kafka.bootstrapServers | quote }}
TIDEGATE_STATE_DIR: /var/lib/tidegate/state
TIDEGATE_ADMIN_BIND: "0.0.0.0:4040"
{{- if .Values.admin.existingSecret }}
TIDEGATE_ADMIN_TOKEN_FILE: /etc/tidegate/admin/token
{{- if .Values.admin.openMetrics }}
TIDEGATE_ADMIN_OPEN_METRICS: "true"
{{- end }}
{{- end }}
{{- if .Values.admin.insecure }}
TIDEGATE_ADMIN_INSECURE: "true"
{{- end }}
{{- with .Values.input }}
TIDEGATE_INPUT: {{ . | quote }}
{{- end }}
{{- with .Values.output }}
TIDEGATE_OUTPUT: {{ . | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- if not (kindIs "invalid" $value) }}
TIDEGATE_{{ $name | snakecase | upper }}: {{ if kindIs "float64" $value }}{{ $value | int64 | quote }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Properties of the client: public ones, and names of files for what is secret. */}}
{{- define "tidegate.properties" -}}
{{- $all := list -}}
{{- range $key, $value := .Values.kafka.properties -}}
{{- $all = append $all (printf "%s=%s" $key (ternary (toString (int64 (default 0 (ternary $value 0 (kindIs "float64" $value))))) (toString $value) (kindIs "float64" $value))) -}}
{{- end -}}
{{- with .Values.kafka.tls -}}
{{- if .existingSecret -}}
{{- $all = append $all "ssl.ca.location=/etc/tidegate/tls/ca.crt" -}}
{{- if .clientCertificate -}}
{{- $all = append $all "ssl.certificate.location=/etc/tidegate/tls/tls.crt" -}}
{{- $all = append $all "ssl.key.location=/etc/tidegate/tls/tls.key" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := .Values.kafka.secretProperties -}}
{{- $all = append $all (printf "%s.file=/etc/tidegate/kafka/%s" $key $key) -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}

{{/* The name of the script's file, which says what kind of script it is; empty if no script is what runs. */}}
{{- define "tidegate.script" -}}
{{- $s := .Values.script -}}
{{- if or $s.python (and $s.existingConfigMap (hasSuffix ".py" $s.key)) -}}pipeline.py
{{- else if or $s.sql $s.existingConfigMap -}}pipeline.sql
{{- end -}}
{{- end -}}

{{/* Variables beside those of the ConfigMap. */}}
{{- define "tidegate.variables" -}}
{{- with include "tidegate.properties" . }}
- name: TIDEGATE_PROPERTIES
  value: {{ . | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* How Prometheus shows the token. */}}
{{- define "tidegate.authorization" -}}
{{- if and .Values.admin.existingSecret (not .Values.admin.openMetrics) -}}
authorization:
  credentials:
    name: {{ .Values.admin.existingSecret }}
    key: {{ .Values.admin.key }}
{{- end -}}
{{- end -}}

{{/* Where the program finds files. A folder of a ConfigMap cannot hold another mount, so the script is mounted as a file. */}}
{{- define "tidegate.mounts" -}}
- name: state
  mountPath: /var/lib/tidegate
- name: tmp
  mountPath: /tmp
{{- with include "tidegate.script" . }}
- name: script
  mountPath: /etc/tidegate/{{ . }}
  subPath: {{ . }}
  readOnly: true
{{- end }}
{{- if .Values.kafka.secretProperties }}
- name: kafka
  mountPath: /etc/tidegate/kafka
  readOnly: true
{{- end }}
{{- if .Values.kafka.tls.existingSecret }}
- name: tls
  mountPath: /etc/tidegate/tls
  readOnly: true
{{- end }}
{{- if .Values.admin.existingSecret }}
- name: admin
  mountPath: /etc/tidegate/admin
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The volumes of these but that of the state. `own` is the ConfigMap with the script of the values; `optional` lets a pod start without Secrets
that are not there, so that the program says which one is missing. */}}
{{- define "tidegate.volumes" -}}
{{- $v := .context.Values -}}
- name: tmp
  emptyDir: {}
{{- with include "tidegate.script" .context }}
- name: script
  configMap:
    name: {{ $v.script.existingConfigMap | default $.own }}
    items:
      - key: {{ ternary $v.script.key . (not (empty $v.script.existingConfigMap)) }}
        path: {{ . }}
{{- end }}
{{- if $v.kafka.secretProperties }}
- name: kafka
  secret:
    secretName: {{ $v.kafka.existingSecret }}
    {{- if .optional }}
    optional: true
    {{- end }}
    items:
      {{- range $property, $key := $v.kafka.secretProperties }}
      - key: {{ $key }}
        path: {{ $property }}
      {{- end }}
{{- end }}
{{- with $v.kafka.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ . }}
    {{- if $.optional }}
    optional: true
    {{- end }}
{{- end }}
{{- with $v.admin.existingSecret }}
- name: admin
  secret:
    secretName: {{ . }}
    {{- if $.optional }}
    optional: true
    {{- end }}
    items:
      - key: {{ $v.admin.key }}
        path: token
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A pod of a Job that runs `tidegate` once: `name` of the container, `image`, `command` or none, `arguments`. */}}
{{- define "tidegate.tool" -}}
{{- $v := .context.Values -}}
metadata:
  labels:
    # Not those that the StatefulSet, its budget and its services select.
    app.kubernetes.io/name: {{ include "tidegate.name" .context }}-{{ .name }}
    app.kubernetes.io/instance: {{ .context.Release.Name }}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $v.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml $v.podSecurityContext | nindent 4 }}
  containers:
    - name: {{ .name }}
      image: {{ .image | quote }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      terminationMessagePolicy: FallbackToLogsOnError
      securityContext:
        {{- toYaml $v.securityContext | nindent 8 }}
      {{- with .command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      args:
        {{- toYaml .arguments | nindent 8 }}
      {{- with $v.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- range $name, $value := include "tidegate.environment" .context | fromYaml }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
        {{- with include "tidegate.variables" .context | trim }}
        {{- . | nindent 8 }}
        {{- end }}
      resources:
        {{- toYaml $v.resources | nindent 8 }}
      volumeMounts:
        {{- include "tidegate.mounts" .context | nindent 8 }}
  {{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumes:
    - name: state
      emptyDir: {}
    {{- include "tidegate.volumes" (dict "context" .context "own" (printf "%s-%s" (include "tidegate.fullname" .context) (ternary "check" "script" (eq .name "check"))) "optional" (eq .name "check")) | nindent 4 }}
{{- end -}}

{{/* What a schema cannot say: each message names the value and the next step. */}}
{{- define "tidegate.check" -}}
{{- $v := .Values -}}
{{- if not $v.image.repository -}}
{{- fail "image.repository is not set: the image of your program (docker/Dockerfile.program shows how to make one), or tidegate's for a script" -}}
{{- end -}}
{{- $scripts := list -}}
{{- range $name := list "sql" "python" "existingConfigMap" -}}
{{- if index $v.script $name -}}{{- $scripts = append $scripts (printf "script.%s" $name) -}}{{- end -}}
{{- end -}}
{{- if gt (len $scripts) 1 -}}
{{- fail (printf "%s are several scripts: set one" (join " and " $scripts)) -}}
{{- end -}}
{{- if and (include "tidegate.script" .) (or $v.input $v.output) -}}
{{- fail "input and output are flags of programs; a script names its topics itself" -}}
{{- end -}}
{{- if not $v.applicationId -}}
{{- fail "applicationId is not set: the name of the application, which is its consumer group" -}}
{{- end -}}
{{- if not $v.kafka.bootstrapServers -}}
{{- fail "kafka.bootstrapServers is not set: host:port of a broker" -}}
{{- end -}}
{{- if not (regexMatch "^([^,: ]+|\\[[0-9a-fA-F:]+\\]):[0-9]{1,5}(,([^,: ]+|\\[[0-9a-fA-F:]+\\]):[0-9]{1,5})*$" $v.kafka.bootstrapServers) -}}
{{- fail (printf "kafka.bootstrapServers: %q is not host:port, or several of them with commas between them and without spaces" $v.kafka.bootstrapServers) -}}
{{- end -}}
{{- if and $v.admin.existingSecret $v.admin.insecure -}}
{{- fail "admin.insecure lets everybody read, but admin.existingSecret names a token: set one of them" -}}
{{- end -}}
{{- if not (or $v.admin.existingSecret $v.admin.insecure) -}}
{{- fail "admin: pods are reached by others, and nothing says who may read the page, the JSON and the metrics: set admin.existingSecret to a Secret with a token (kubectl create secret generic NAME --from-literal=token=\"$(openssl rand -hex 32)\"), or admin.insecure=true" -}}
{{- end -}}
{{- if $v.reset.enabled -}}
{{- if not $v.reset.to -}}
{{- fail "reset.to is not set: earliest, latest, a time such as 2026-11-29T16:00:00Z, or offsets such as lines-0=120" -}}
{{- end -}}
{{- if and (not $v.reset.image) (not (include "tidegate.script" .)) -}}
{{- fail "reset.image is not set: tidegate's own image (docker/Dockerfile), which has the command; your program's does not" -}}
{{- end -}}
{{- if or $v.autoscaling.enabled (gt (int $v.replicas) 0) -}}
{{- fail "reset.enabled is for a stopped application: set replicas=0 and autoscaling.enabled=false" -}}
{{- end -}}
{{- end -}}
{{- if and $v.kafka.secretProperties (not $v.kafka.existingSecret) -}}
{{- fail "kafka.secretProperties names keys of a Secret, but kafka.existingSecret is not set" -}}
{{- end -}}
{{- range $key, $value := $v.kafka.properties -}}
{{- if regexMatch "password|secret|\\.pem$|oauthbearer\\.config|sasl\\.username" $key -}}
{{- fail (printf "kafka.properties: %s belongs into a Secret: kafka.existingSecret and kafka.secretProperties" $key) -}}
{{- end -}}
{{- if contains "," (toString $value) -}}
{{- fail (printf "kafka.properties: the value of %s contains a comma; pass it as an argument: args: [-X, %q]" $key (printf "%s=%v" $key $value)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.kafka.tls.clientCertificate (not $v.kafka.tls.existingSecret) -}}
{{- fail "kafka.tls.clientCertificate needs kafka.tls.existingSecret" -}}
{{- end -}}
{{- if $v.autoscaling.enabled -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is greater than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and (eq $v.autoscaling.type "hpa") (not $v.autoscaling.hpa.lagMetricName) (not $v.autoscaling.hpa.cpuUtilization) -}}
{{- fail "autoscaling.hpa has no metric: set lagMetricName or cpuUtilization" -}}
{{- end -}}
{{- if and (eq $v.autoscaling.type "keda") (not $v.autoscaling.keda.topics) (not $v.input) -}}
{{- fail "autoscaling.keda.topics is empty and there is no input: name the topics whose lag counts" -}}
{{- end -}}
{{- end -}}
{{- $most := ternary (int $v.autoscaling.maxReplicas) (int $v.replicas) $v.autoscaling.enabled -}}
{{- if and $v.settings.statePartitions (gt $most (int $v.settings.statePartitions)) -}}
{{- fail (printf "%d replicas, but settings.statePartitions is %d: the others would have nothing to do" $most (int $v.settings.statePartitions)) -}}
{{- end -}}
{{- if and $v.terminationGracePeriodSeconds (le (mul 1000 (int $v.terminationGracePeriodSeconds)) (int $v.settings.stopTimeoutMs)) -}}
{{- fail "terminationGracePeriodSeconds must be longer than settings.stopTimeoutMs, or pods are killed in the middle of a batch" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) -}}
{{- fail "ingress.hosts is empty" -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs is empty: name the Gateway" -}}
{{- end -}}
{{- if and (or $v.ingress.enabled $v.httpRoute.enabled) (not $v.service.enabled) -}}
{{- fail "ingress and httpRoute need service.enabled" -}}
{{- end -}}
{{- if and $v.metrics.serviceMonitor.enabled $v.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor would both scrape the same pods: enable one" -}}
{{- end -}}
{{- end -}}
