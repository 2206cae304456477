package kubernetes

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// leastGrace is the shortest grace a Pod is asked to go with, in seconds. With none at all the API
// server forgets the Pod while its containers still run.
const leastGrace = 1

// What the agent needs: it holds requests in memory, one for each slot, and little else. It has no
// limit: how large requests are is the function's matter, and a killed agent loses what they cost.
const (
	agentCPU    = "50m"
	agentMemory = "64Mi"
	agentUser   = 65532 // "nonroot" of distroless images
)

// checkSpec says what no retry would mend.
func (o Options) checkSpec(r activities.ReplicaSpec) error {
	switch {
	case r.ID == "":
		return fmt.Errorf("%w: the replica has no ID", activities.ErrBadSpec)
	case r.Spec.Runtime.Image == "":
		return fmt.Errorf("%w: %s: spec.runtime.image is needed: on Kubernetes a replica runs an image", activities.ErrBadSpec, r.Key)
	case r.Gang != nil:
		return o.checkRank(r)
	}
	return nil
}

// pod is the Pod of a replica.
func (o Options) pod(r activities.ReplicaSpec, now time.Time) *corev1.Pod {
	run := r.Spec.Runtime
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: r.ID, Namespace: r.Key.Namespace, Labels: o.labels(r), Finalizers: []string{Finalizer},
			Annotations: map[string]string{
				AnnotationEpoch: strconv.FormatUint(r.Lease.Epoch, 10), AnnotationDevices: strings.Join(r.Lease.Devices, ","),
				AnnotationStarted: now.Format(time.RFC3339Nano), AnnotationTimeout: readyTimeout(run).String(),
			},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: new(seconds(run.Drain.Grace.D())),
			AutomountServiceAccountToken:  new(false),
			EnableServiceLinks:            new(false),
			PriorityClassName:             o.PriorityClass,
			Affinity:                      onNode(r.Lease.Node),
			Tolerations:                   o.tolerations(),
			InitContainers:                []corev1.Container{o.agent(run)},
			Containers:                    []corev1.Container{model(r)},
			Volumes: []corev1.Volume{{Name: agentVolume, VolumeSource: corev1.VolumeSource{
				Secret: &corev1.SecretVolumeSource{SecretName: r.ID, DefaultMode: new(int32(0o444))}, // only the agent mounts it
			}}},
		},
	}
	if p.Labels[LabelFunction] != r.Key.Name {
		p.Annotations[AnnotationName] = r.Key.Name
	}
	if r.Gang != nil {
		o.rankPod(p, r)
	}
	return p
}

func (o Options) labels(r activities.ReplicaSpec) map[string]string {
	name := labelValue(r.Key.Name)
	return map[string]string{
		LabelPool: o.Pool, LabelFunction: name, LabelRevision: r.Revision,
		"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "stoker",
	}
}

// labelValue is a name as a label may have it: [events.RankKey] makes that of a job longer than what people may write. In
// place of what is too long is a hash of it all, so that selectors tell two such names apart.
func labelValue(name string) string {
	if len(name) <= validation.LabelValueMaxLength {
		return name
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	hash := fmt.Sprintf("-%08x", h.Sum32())
	return name[:validation.LabelValueMaxLength-len(hash)] + hash
}

// keyOf undoes it.
func keyOf(p *corev1.Pod) functions.Key {
	return functions.Key{Namespace: p.Namespace, Name: cmp.Or(p.Annotations[AnnotationName], p.Labels[LabelFunction])}
}

// onNode pins a Pod to the node its lease is on, by the node's name as a DaemonSet does: the
// scheduler still checks that it fits.
func onNode(node string) *corev1.Affinity {
	if node == "" {
		return nil
	}
	term := corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{
		Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node},
	}}}
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}},
	}}
}

// tolerations let replicas onto GPU nodes, and keep them there while a node is out of reach:
// unreachable is not failed.
func (o Options) tolerations() []corev1.Toleration {
	out := []corev1.Toleration{{Key: string(ResourceGPU), Operator: corev1.TolerationOpExists}}
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		out = append(out, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute})
	}
	return append(out, o.Tolerations...)
}

// agent is the sidecar: up before the model server, and gone after it.
func (o Options) agent(run functions.Runtime) corev1.Container {
	return corev1.Container{
		Name: AgentContainer, Image: o.AgentImage, RestartPolicy: new(corev1.ContainerRestartPolicyAlways),
		Env: []corev1.EnvVar{
			{Name: "STOKER_AGENT_CONFIG", Value: agentDir + "/" + agentFile},
			{Name: "STOKER_AGENT_LISTEN", Value: ":" + strconv.Itoa(events.AgentPort)},
			{Name: "STOKER_SERVER_PORT", Value: strconv.Itoa(port(run))},
		},
		Ports:                    []corev1.ContainerPort{{Name: "agent", ContainerPort: events.AgentPort}},
		VolumeMounts:             []corev1.VolumeMount{{Name: agentVolume, MountPath: agentDir, ReadOnly: true}},
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(agentCPU), corev1.ResourceMemory: resource.MustParse(agentMemory)},
		},
		SecurityContext: &corev1.SecurityContext{
			RunAsUser: new(int64(agentUser)), RunAsNonRoot: new(true), AllowPrivilegeEscalation: new(false),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// model is the model server.
func model(r activities.ReplicaSpec) corev1.Container {
	run := r.Spec.Runtime
	env := identity(r)
	for _, v := range run.Env {
		env = append(env, variable(v))
	}
	return corev1.Container{
		Name: ModelContainer, Image: run.Image, Command: run.Command, Args: run.Args, Env: env,
		Ports:                    []corev1.ContainerPort{{Name: "http", ContainerPort: int32(port(run))}}, //nolint:gosec // 2026-11-27: a manifest's port is at most 65535
		Resources:                resources(r.Spec.Resources),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		// Whoever deletes the Pod: what is in flight finishes first.
		Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: events.AgentDrainPath, Port: intstr.FromInt32(events.AgentPort)},
		}},
	}
}

// identity is what every model server is told, as in the local provider. Images of CUDA ask for all
// GPUs of a node where nobody says otherwise, so one that has none is told to see none; one that has
// some is told which by the device plugin.
func identity(r activities.ReplicaSpec) []corev1.EnvVar {
	env := []corev1.EnvVar{
		{Name: "PORT", Value: strconv.Itoa(port(r.Spec.Runtime))},
		{Name: "STOKER_REPLICA_ID", Value: r.ID}, {Name: "STOKER_FUNCTION", Value: r.Key.String()},
	}
	if r.Spec.Resources.GPUs == 0 {
		env = append(env, corev1.EnvVar{Name: "NVIDIA_VISIBLE_DEVICES", Value: "void"}, corev1.EnvVar{Name: "CUDA_VISIBLE_DEVICES"})
	}
	return env
}

// variable is one of the manifest's. A value is what it says, as in the local provider: a dollar sign
// is doubled, or a kubelet would put another variable in the place of $(NAME).
func variable(v functions.EnvVar) corev1.EnvVar {
	if v.ValueFrom == nil || v.ValueFrom.SecretKeyRef == nil {
		return corev1.EnvVar{Name: v.Name, Value: strings.ReplaceAll(v.Value, "$", "$$")}
	}
	ref := v.ValueFrom.SecretKeyRef
	return corev1.EnvVar{Name: v.Name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: ref.Name}, Key: ref.Key,
	}}}
}

// resources asks for what the manifest names. Memory is a limit too, as in the local provider;
// processor time is not: throttling a model server that could use an idle core helps nobody.
func resources(r functions.Resources) corev1.ResourceRequirements {
	out := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	if milli := r.CPU.Milli(); milli > 0 {
		out.Requests[corev1.ResourceCPU] = *resource.NewMilliQuantity(milli, resource.DecimalSI)
	}
	if bytes := r.Memory.Bytes(); bytes > 0 {
		q := *resource.NewQuantity(int64(bytes), resource.BinarySI) //nolint:gosec // 2026-11-27: a quantity is at most 92 TB
		out.Requests[corev1.ResourceMemory], out.Limits[corev1.ResourceMemory] = q, q
	}
	if r.GPUs > 0 {
		q := *resource.NewQuantity(int64(r.GPUs), resource.DecimalSI)
		out.Requests[ResourceGPU], out.Limits[ResourceGPU] = q, q
	}
	return out
}

func port(run functions.Runtime) int {
	if run.Port == 0 {
		return DefaultPort
	}
	return run.Port
}

func readyTimeout(run functions.Runtime) time.Duration {
	if t := run.Ready.Timeout.D(); t > 0 {
		return t
	}
	return defaultReadyTimeout
}

// seconds rounds a grace up to what the API server takes.
func seconds(grace time.Duration) int64 {
	return max(leastGrace, int64((grace+time.Second-1)/time.Second))
}
