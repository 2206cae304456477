package kubetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// volumes fills the volumes that one container mounts, and tells where they lie. Those that hold text written for the
// container (Secrets, ConfigMaps, the downward API) are its own, rewritten for this host; an emptyDir is the Pod's.
type volumes struct {
	client    kubernetes.Interface
	pod       *corev1.Pod
	container *corev1.Container
	podDir    string
}

// dirs are the directories of the container's volumes on this host, by volume.
func (v volumes) dirs() map[string]string {
	dirs := map[string]string{}
	for _, volume := range v.pod.Spec.Volumes {
		switch {
		case volume.HostPath != nil:
			dirs[volume.Name] = volume.HostPath.Path
		case volume.PersistentVolumeClaim != nil: // one directory for all nodes, beside theirs
			cluster := filepath.Dir(filepath.Dir(filepath.Dir(v.podDir)))
			dirs[volume.Name] = filepath.Join(cluster, "claims", v.pod.Namespace, volume.PersistentVolumeClaim.ClaimName)
		case volume.EmptyDir != nil:
			dirs[volume.Name] = filepath.Join(v.podDir, "volumes", volume.Name)
		default:
			dirs[volume.Name] = filepath.Join(v.podDir, v.container.Name, volume.Name)
		}
	}
	return dirs
}

// fill writes the files of all volumes that the container mounts. An error means that something is missing (yet).
func (v volumes) fill(ctx context.Context, r rewriter) error {
	dirs := v.dirs()
	for _, volume := range v.mounted() {
		if volume.HostPath != nil {
			continue
		}
		if err := os.MkdirAll(dirs[volume.Name], 0o755); err != nil {
			return err
		}
		files, err := v.files(ctx, volume.VolumeSource)
		if err != nil {
			return fmt.Errorf("MountVolume.SetUp failed for volume %q: %w", volume.Name, err)
		}
		if err := write(dirs[volume.Name], files, r); err != nil {
			return err
		}
	}
	return nil
}

func (v volumes) mounted() []corev1.Volume {
	var found []corev1.Volume
	for _, volume := range v.pod.Spec.Volumes {
		for _, mount := range v.container.VolumeMounts {
			if mount.Name == volume.Name {
				found = append(found, volume)
				break
			}
		}
	}
	return found
}

// files are a volume's files by their path in it.
func (v volumes) files(ctx context.Context, source corev1.VolumeSource) (map[string][]byte, error) {
	switch {
	case source.EmptyDir != nil, source.PersistentVolumeClaim != nil:
		return nil, nil
	case source.Secret != nil:
		data, err := secretData(ctx, v.client, v.pod.Namespace, source.Secret.SecretName, source.Secret.Optional)
		return pick(data, source.Secret.Items, err)
	case source.ConfigMap != nil:
		data, err := configMapData(ctx, v.client, v.pod.Namespace, source.ConfigMap.Name, source.ConfigMap.Optional)
		return pick(data, source.ConfigMap.Items, err)
	case source.DownwardAPI != nil:
		return v.downward(source.DownwardAPI.Items)
	case source.Projected != nil:
		all := map[string][]byte{}
		for _, part := range source.Projected.Sources {
			files, err := v.projected(ctx, part)
			if err != nil {
				return nil, err
			}
			maps.Copy(all, files)
		}
		return all, nil
	}
	return nil, errors.New("a host node has emptyDir, hostPath, persistentVolumeClaim, secret, configMap, downwardAPI and projected volumes, and no other kind")
}

func (v volumes) projected(ctx context.Context, part corev1.VolumeProjection) (map[string][]byte, error) {
	switch {
	case part.Secret != nil:
		data, err := secretData(ctx, v.client, v.pod.Namespace, part.Secret.Name, part.Secret.Optional)
		return pick(data, part.Secret.Items, err)
	case part.ConfigMap != nil:
		data, err := configMapData(ctx, v.client, v.pod.Namespace, part.ConfigMap.Name, part.ConfigMap.Optional)
		return pick(data, part.ConfigMap.Items, err)
	case part.DownwardAPI != nil:
		return v.downward(part.DownwardAPI.Items)
	case part.ServiceAccountToken != nil:
		return v.token(ctx, part.ServiceAccountToken)
	}
	return nil, fmt.Errorf("this source is none that a host node knows: %+v", part)
}

// token asks for a token of the Pod's ServiceAccount that ends with the Pod. It is not renewed.
func (v volumes) token(ctx context.Context, want *corev1.ServiceAccountTokenProjection) (map[string][]byte, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: want.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: v.pod.Name, UID: v.pod.UID},
	}}
	if want.Audience != "" {
		request.Spec.Audiences = []string{want.Audience}
	}
	got, err := v.client.CoreV1().ServiceAccounts(v.pod.Namespace).
		CreateToken(ctx, v.pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return map[string][]byte{want.Path: []byte(got.Status.Token)}, nil
}

func (v volumes) downward(items []corev1.DownwardAPIVolumeFile) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, item := range items {
		var text string
		var err error
		if item.FieldRef != nil {
			text, err = fieldOf(v.pod, item.FieldRef.FieldPath)
		} else {
			text, err = resourceOf(v.container, item.ResourceFieldRef)
		}
		if err != nil {
			return nil, err
		}
		files[item.Path] = []byte(text)
	}
	return files, nil
}

// refresh writes the downward API's files again: labels and annotations change.
func (v volumes) refresh(r rewriter) error {
	dirs := v.dirs()
	for _, volume := range v.mounted() {
		var items []corev1.DownwardAPIVolumeFile
		if volume.DownwardAPI != nil {
			items = volume.DownwardAPI.Items
		}
		if volume.Projected != nil {
			for _, source := range volume.Projected.Sources {
				if source.DownwardAPI != nil {
					items = append(items, source.DownwardAPI.Items...)
				}
			}
		}
		files, err := v.downward(items)
		if err != nil {
			return err
		}
		if err := write(dirs[volume.Name], files, r); err != nil {
			return err
		}
	}
	return nil
}

// write puts a volume's files into its directory, as text for this host.
func write(dir string, files map[string][]byte, r rewriter) error {
	for name, data := range files {
		if err := replaceFile(filepath.Join(dir, name), []byte(r.text(string(data)))); err != nil {
			return err
		}
	}
	return nil
}

// pick applies a volume's choice of keys.
func pick(data map[string][]byte, items []corev1.KeyToPath, err error) (map[string][]byte, error) {
	if err != nil || len(items) == 0 {
		return data, err
	}
	files := map[string][]byte{}
	for _, item := range items {
		value, ok := data[item.Key]
		if !ok {
			return nil, fmt.Errorf("references non-existent secret or config key: %s", item.Key)
		}
		files[item.Path] = value
	}
	return files, nil
}

// replaceFile writes a file so that a reader sees the old one or the new one; nothing if it is the same.
func replaceFile(path string, data []byte) error {
	old, err := os.ReadFile(path)
	if err == nil && string(old) == string(data) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
