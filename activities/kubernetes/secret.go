package kubernetes

import (
	"encoding/json"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
)

// Keys of an agent's Secret, which are file names in its container.
const (
	agentFile = "agent.json"
	tokenKey  = "token"
)

// secret is what the agent of a Pod reads. The Pod owns it, so that it goes with it.
func (o Options) secret(r activities.ReplicaSpec, owner *corev1.Pod) (*corev1.Secret, error) {
	data, err := o.agentFiles(r)
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: r.ID, Namespace: r.Key.Namespace, Labels: o.labels(r),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: owner.Name, UID: owner.UID}},
		},
		Data: data,
	}, nil
}

// agentFiles completes what the agent is told, with the files it connects with beside it.
func (o Options) agentFiles(r activities.ReplicaSpec) (map[string][]byte, error) {
	data := map[string][]byte{}
	cfg := r.Agent
	cfg.Key, cfg.Replica, cfg.Revision, cfg.Spec = r.Key, r.ID, r.Revision, r.Spec
	cfg.Spec.Runtime.Env = nil // the model server's, which the agent has no use for
	if r.Gang == nil {
		cfg.Attach, cfg.Port = true, port(r.Spec.Runtime)
	} else if err := rankConfig(&cfg, r); err != nil {
		return nil, fmt.Errorf("place of rank %s: %w", r.ID, err)
	}
	cfg.StatusFile = corev1.TerminationMessagePathDefault
	if o.AgentNATS != "" {
		cfg.NATS.URL = o.AgentNATS
	}
	if err := o.moveAccess(&cfg.NATS, data); err != nil {
		return nil, fmt.Errorf("credentials of replica %s: %w", r.ID, err)
	}
	var err error
	data[agentFile], err = json.Marshal(cfg)
	return data, err
}

// moveAccess puts the files that a connection needs into the Secret.
func (o Options) moveAccess(a *events.NATSAccess, data map[string][]byte) error {
	if a.Token != "" {
		data[tokenKey] = []byte(a.Token)
		a.Token, a.TokenFile = "", agentDir+"/"+tokenKey
	}
	for key, path := range map[string]*string{"creds": &a.Creds, "ca.crt": &a.CA, "tls.crt": &a.Cert, "tls.key": &a.KeyFile} {
		if *path == "" {
			continue
		}
		content, err := os.ReadFile(*path)
		if err != nil {
			return err
		}
		data[key], *path = content, agentDir+"/"+key
	}
	return nil
}
