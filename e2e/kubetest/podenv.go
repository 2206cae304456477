package kubetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// hostPath is the PATH of containers that set none.
const hostPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment resolves a container's variables. An error means that something they refer to is missing (yet).
func environment(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, container *corev1.Container, r rewriter) (map[string]string, error) {
	vars := map[string]string{}
	for _, from := range container.EnvFrom {
		data, err := envFrom(ctx, client, pod.Namespace, from)
		if err != nil {
			return nil, err
		}
		for name, value := range data {
			vars[from.Prefix+name] = r.value(value)
		}
	}
	for _, env := range container.Env {
		value := expand(env.Value, vars)
		if env.ValueFrom != nil {
			var set bool
			var err error
			if value, set, err = valueFrom(ctx, client, pod, container, env.ValueFrom); err != nil {
				return nil, fmt.Errorf("variable %s: %w", env.Name, err)
			}
			if !set {
				continue
			}
		}
		vars[env.Name] = r.value(value)
	}
	return vars, nil
}

func envFrom(ctx context.Context, client kubernetes.Interface, namespace string, from corev1.EnvFromSource) (map[string]string, error) {
	switch {
	case from.SecretRef != nil:
		data, err := secretData(ctx, client, namespace, from.SecretRef.Name, from.SecretRef.Optional)
		return texts(data), err
	case from.ConfigMapRef != nil:
		data, err := configMapData(ctx, client, namespace, from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
		return texts(data), err
	}
	return nil, nil
}

func texts(data map[string][]byte) map[string]string {
	out := map[string]string{}
	for name, value := range data {
		out[name] = string(value)
	}
	return out
}

// valueFrom resolves one variable; it is not set if what it refers to is optional and missing.
func valueFrom(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, container *corev1.Container, from *corev1.EnvVarSource) (value string, set bool, err error) {
	switch {
	case from.FieldRef != nil:
		value, err = fieldOf(pod, from.FieldRef.FieldPath)
		return value, err == nil, err
	case from.ResourceFieldRef != nil:
		value, err = resourceOf(container, from.ResourceFieldRef)
		return value, err == nil, err
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		data, err := secretData(ctx, client, pod.Namespace, ref.Name, ref.Optional)
		return keyOf(data, ref.Key, ref.Optional, err)
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		data, err := configMapData(ctx, client, pod.Namespace, ref.Name, ref.Optional)
		return keyOf(data, ref.Key, ref.Optional, err)
	}
	return "", false, fmt.Errorf("its source is none that a host node knows: %+v", from)
}

func keyOf(data map[string][]byte, key string, optional *bool, err error) (string, bool, error) {
	if err != nil {
		return "", false, err
	}
	value, ok := data[key]
	if !ok && !isTrue(optional) {
		return "", false, fmt.Errorf("couldn't find key %s", key)
	}
	return string(value), ok, nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// secretData reads a Secret; none if it is missing and optional.
func secretData(ctx context.Context, client kubernetes.Interface, namespace, name string, optional *bool) (map[string][]byte, error) {
	secret, err := client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && isTrue(optional) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return secret.Data, nil
}

// configMapData reads a ConfigMap; none if it is missing and optional.
func configMapData(ctx context.Context, client kubernetes.Interface, namespace, name string, optional *bool) (map[string][]byte, error) {
	object, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && isTrue(optional) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{}
	for key, value := range object.Data {
		data[key] = []byte(value)
	}
	maps.Copy(data, object.BinaryData)
	return data, nil
}

// fieldOf resolves a field of the downward API. The Pod's addresses are those of this host, even before its status
// says so.
func fieldOf(pod *corev1.Pod, path string) (string, error) {
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return pod.Annotations[key], nil
	}
	if key, ok := subscript(path, "metadata.labels"); ok {
		return pod.Labels[key], nil
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs":
		return loopback, nil
	}
	return "", fmt.Errorf("field %s is none of the downward API's that a host node knows", path)
}

// subscript is the key in path['key'].
func subscript(path, field string) (string, bool) {
	key, ok := strings.CutPrefix(path, field+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(key, "']")
}

// formatMap is how a volume of the downward API shows labels and annotations.
func formatMap(m map[string]string) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, fmt.Sprintf("%s=%q", key, m[key]))
	}
	return strings.Join(lines, "\n")
}

func resourceOf(container *corev1.Container, ref *corev1.ResourceFieldSelector) (string, error) {
	kind, name, _ := strings.Cut(ref.Resource, ".")
	list := container.Resources.Limits
	if kind == "requests" {
		list = container.Resources.Requests
	}
	quantity, ok := list[corev1.ResourceName(name)]
	if !ok {
		return "", fmt.Errorf("container %s sets no %s", container.Name, ref.Resource)
	}
	if !ref.Divisor.IsZero() {
		return fmt.Sprint((quantity.MilliValue() + ref.Divisor.MilliValue() - 1) / ref.Divisor.MilliValue()), nil
	}
	return fmt.Sprint(quantity.Value()), nil
}

// environ is what a process gets: only what the Pod says, as in a container, and a place for temporary files.
func environ(pod *corev1.Pod, vars map[string]string, dir string) []string {
	all := map[string]string{"PATH": hostPath, "HOME": dir, "TMPDIR": dir, "HOSTNAME": pod.Name}
	maps.Copy(all, vars)
	var out []string
	for name, value := range all {
		out = append(out, name+"="+value)
	}
	return out
}
