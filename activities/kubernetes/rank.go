package kubernetes

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

// Volumes of a rank's Pod, beside the one with what its agent is told.
const (
	ownVolume         = "stoker"      // the agent's program, and the files by which it and the rank's talk
	memoryVolume      = "memory"      // what data loaders of PyTorch and NCCL share between processes
	checkpointsVolume = "checkpoints" // the claim

	ownDir  = "/stoker"
	agentAt = ownDir + "/stoker-agent"
	rankDir = ownDir + "/rank"
)

// rankWord is what the agent of a rank gets beyond its grace, to say how the rank has ended.
const rankWord = time.Second

// Volume is where training jobs keep their checkpoints.
type Volume struct {
	Claim string // a PersistentVolumeClaim of this name in the namespace of each job; empty: there are no jobs
	Path  string // where every rank has it
}

// isRank tells whether a Pod is that of a rank.
func isRank(p *corev1.Pod) bool {
	_, is := events.JobOfRank(keyOf(p))
	return is
}

// checkRank says what no retry would mend.
func (o Options) checkRank(r activities.ReplicaSpec) error {
	run, at := r.Gang.Spec.Runtime, path.Clean(r.Gang.CheckpointDir)
	switch {
	case len(run.Command) == 0:
		return fmt.Errorf("%w: %s: spec.runtime.command is needed: the agent starts the program of a rank, and cannot read an image's entrypoint",
			activities.ErrBadSpec, r.Key)
	case o.Checkpoints.Claim == "":
		return fmt.Errorf("%w: %s: there is no volume for checkpoints; start the platform with --kube-checkpoints CLAIM", activities.ErrBadSpec, r.Key)
	case !strings.HasPrefix(at, o.Checkpoints.Path+"/"):
		return fmt.Errorf("%w: %s: the checkpoint directory %s is not below %s, where the volume for checkpoints is mounted",
			activities.ErrBadSpec, r.Key, at, o.Checkpoints.Path)
	}
	return nil
}

// rankPod makes a replica's Pod that of a rank: in place of the sidecar there is one container, whose first
// process is the agent. Only so can it start the program once the barrier is open, tell it to go without
// the others that it has started, and say how it ended.
func (o Options) rankPod(p *corev1.Pod, r activities.ReplicaSpec) {
	run := r.Spec.Runtime
	own := corev1.VolumeMount{Name: ownVolume, MountPath: ownDir}
	install := o.agent(run)
	install.RestartPolicy, install.Env, install.Ports = nil, nil, nil
	install.Args, install.VolumeMounts = []string{"-install", agentAt}, []corev1.VolumeMount{own}
	main := model(r)
	main.Command, main.Args, main.Ports, main.Lifecycle = []string{agentAt}, nil, nil, nil
	main.Env = append(rankIdentity(r), main.Env[len(identity(r)):]...)
	main.TerminationMessagePolicy = corev1.TerminationMessageReadFile
	main.VolumeMounts = []corev1.VolumeMount{
		{Name: agentVolume, MountPath: agentDir, ReadOnly: true}, own,
		{Name: memoryVolume, MountPath: "/dev/shm"}, {Name: checkpointsVolume, MountPath: o.Checkpoints.Path},
	}
	p.Spec.TerminationGracePeriodSeconds = new(seconds(run.Drain.Grace.D() + rankWord))
	p.Spec.InitContainers, p.Spec.Containers = []corev1.Container{install}, []corev1.Container{main}
	p.Spec.Volumes = append(p.Spec.Volumes,
		corev1.Volume{Name: ownVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		corev1.Volume{Name: memoryVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
		corev1.Volume{Name: checkpointsVolume, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: o.Checkpoints.Claim},
		}},
	)
}

// rankIdentity is what the container of a rank is told beside the manifest's variables: where its agent finds
// what it is told, who it is, and no GPU where it has none.
func rankIdentity(r activities.ReplicaSpec) []corev1.EnvVar {
	env := []corev1.EnvVar{{Name: "STOKER_AGENT_CONFIG", Value: agentDir + "/" + agentFile}}
	for _, v := range identity(r) {
		if v.Name != "PORT" && v.Name != "STOKER_FUNCTION" {
			env = append(env, v)
		}
	}
	return env
}

// rankConfig completes what the agent of a rank is told. The manifest's variables are in its container.
func rankConfig(cfg *events.AgentConfig, r activities.ReplicaSpec) error {
	place := *r.Gang
	place.Dir, place.Spec.Runtime = rankDir, functions.JobRuntime{}
	data, err := json.Marshal(place)
	if err != nil {
		return err
	}
	run := r.Gang.Spec.Runtime
	cfg.Command = append(append([]string{}, run.Command...), run.Args...)
	for _, v := range run.Env {
		if v.ValueFrom != nil {
			cfg.Secrets = append(cfg.Secrets, v.Name)
		}
	}
	cfg.Rank = &events.RankConfig{
		Generation: place.Generation, Rank: place.Rank, Place: data,
		NoticeFile: path.Join(rankDir, contract.NoticeFile), SaveFile: path.Join(rankDir, contract.SaveFile),
		ProgressFile: path.Join(rankDir, contract.ProgressFile), ErrorFile: path.Join(rankDir, contract.ErrorFile),
	}
	return nil
}

// rankEnd is the cause of a rank's end that nobody asked for: what its agent said, if it could.
func rankEnd(p *corev1.Pod, main *corev1.ContainerStateTerminated) (cause, message string) {
	if last := lastWord(p); last != nil && last.Phase == events.PhaseExited {
		return last.Cause, last.Message
	}
	return events.CauseCrashed, fmt.Sprintf("its container ended with code %d before the agent could say why", main.ExitCode)
}
