package kubetest

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestRewriting(t *testing.T) {
	container := &corev1.Container{VolumeMounts: []corev1.VolumeMount{
		{Name: "config", MountPath: "/etc/agent"}, {Name: "sub", MountPath: "/etc/agent/keys", SubPath: "k"},
	}}
	r := newRewriter(map[int32]int{8080: 21000, 80: 21001}, container, map[string]string{"config": "/host/c", "sub": "/host/s"}, "/host/last")
	for _, test := range []struct{ name, in, value, text string }{
		{"a number is a port in a value alone", "8080", "21000", "8080"},
		{"of two ports the whole number counts", "80", "21001", "80"},
		{"another number", "18080", "18080", "18080"},
		{"an address", "http://127.0.0.1:8080/v1", "http://127.0.0.1:21000/v1", "http://127.0.0.1:21000/v1"},
		{"any address of this host", ":8080 0.0.0.0:80 localhost:8080", ":21000 0.0.0.0:21001 localhost:21000", ":21000 0.0.0.0:21001 localhost:21000"},
		{"somebody else's address", "nats://broker:8080", "nats://broker:8080", "nats://broker:8080"},
		{"a flag named port", "--listen-port=8080", "--listen-port=21000", "--listen-port=8080"},
		{"another flag", "--max-tokens=8080", "--max-tokens=8080", "--max-tokens=8080"},
		{"a file of a mount", "/etc/agent/config.yaml", "/host/c/config.yaml", "/host/c/config.yaml"},
		{"the deepest mount", "--key=/etc/agent/keys/id", "--key=/host/s/k/id", "--key=/host/s/k/id"},
		{"a mount itself", "/etc/agent", "/host/c", "/host/c"},
		{"the file of the last message", `"statusFile": "/dev/termination-log"`, `"statusFile": "/host/last"`, `"statusFile": "/host/last"`},
		{"a path that only begins like one", "/etc/agents/x", "/etc/agents/x", "/etc/agents/x"},
		{"a path that only ends like one", "/opt/etc/agent/x", "/opt/etc/agent/x", "/opt/etc/agent/x"},
	} {
		if got := r.value(test.in); got != test.value {
			t.Errorf("%s: value %q became %q, want %q", test.name, test.in, got, test.value)
		}
		if got := r.text(test.in); got != test.text {
			t.Errorf("%s: text %q became %q, want %q", test.name, test.in, got, test.text)
		}
	}
}

func TestExpanding(t *testing.T) {
	vars := map[string]string{"HOST": "node-1", "A.B": "c"}
	for in, want := range map[string]string{
		"$(HOST):80": "node-1:80", "$(A.B)$(HOST)": "cnode-1", "$(NOBODY)": "$(NOBODY)", "$$(HOST)": "$(HOST)", "$HOST": "$HOST",
	} {
		if got := expand(in, vars); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
