package kubetest

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// rewriter turns what a Pod says about its own ports and files into what holds on this host, where all Pods share one
// network and one tree of files.
type rewriter struct {
	ports map[int32]int
	paths []pathRule
}

type pathRule struct {
	pattern *regexp.Regexp
	to      string
}

// Ports are recognised where they are written as one: after the host in an address, and after the word "port" and
// an equals sign, as in --listen-port=8080.
var (
	addressPort = regexp.MustCompile(`(^|127\.0\.0\.1|0\.0\.0\.0|localhost|\[::1\]|\[::\]|\$\([A-Z_]*IP\)):([0-9]{2,5})\b`)
	namedPort   = regexp.MustCompile(`(?i)(port=)([0-9]{2,5})\b`)
	number      = regexp.MustCompile(`^()([0-9]{2,5})$`)
)

// newRewriter serves one container: its mounts lie in dirs, by volume, and its last message in a file.
func newRewriter(ports map[int32]int, container *corev1.Container, dirs map[string]string, message string) rewriter {
	mounts := slices.Clone(container.VolumeMounts)
	slices.SortFunc(mounts, func(a, b corev1.VolumeMount) int { // a mount below another comes first
		return cmp.Compare(len(b.MountPath), len(a.MountPath))
	})
	r := rewriter{ports: ports, paths: []pathRule{newPathRule(messagePath(container), message)}}
	for _, m := range mounts {
		to := dirs[m.Name]
		if m.SubPath != "" {
			to += "/" + m.SubPath
		}
		r.paths = append(r.paths, newPathRule(strings.TrimSuffix(m.MountPath, "/"), to))
	}
	return r
}

// newPathRule finds a path where it begins after something that is no part of one and ends at a slash or so.
func newPathRule(path, to string) pathRule {
	return pathRule{regexp.MustCompile(`(^|[^A-Za-z0-9_./-])` + regexp.QuoteMeta(path) + `($|[^A-Za-z0-9_.-])`), to}
}

// value rewrites an argument or the value of a variable.
func (r rewriter) value(s string) string {
	return r.text(r.replacePorts(r.replacePorts(s, number), namedPort))
}

// text rewrites a file's content: addresses and paths, but no bare numbers.
func (r rewriter) text(s string) string {
	s = r.replacePorts(s, addressPort)
	for _, p := range r.paths {
		s = p.pattern.ReplaceAllString(s, "${1}"+strings.ReplaceAll(p.to, "$", "$$")+"${2}")
	}
	return s
}

func (r rewriter) replacePorts(s string, pattern *regexp.Regexp) string {
	return pattern.ReplaceAllStringFunc(s, func(match string) string {
		parts := pattern.FindStringSubmatch(match)
		for port, mine := range r.ports {
			if parts[2] == fmt.Sprint(port) {
				return strings.TrimSuffix(match, parts[2]) + fmt.Sprint(mine)
			}
		}
		return match
	})
}

// declaredPorts are all container ports of a Pod: they share one network namespace.
func declaredPorts(pod *corev1.Pod) []int32 {
	found := map[int32]bool{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, p := range c.Ports {
			found[p.ContainerPort] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// reference is $(NAME) in a value, a command or an argument; $$ is a dollar sign.
var reference = regexp.MustCompile(`\$(\$|\([A-Za-z_.-][A-Za-z0-9_.-]*\))`)

// expand replaces references to variables as Kubernetes does; one to an unknown variable stays as it is.
func expand(s string, vars map[string]string) string {
	return reference.ReplaceAllStringFunc(s, func(match string) string {
		if match == "$$" {
			return "$"
		}
		if value, ok := vars[match[2:len(match)-1]]; ok {
			return value
		}
		return match
	})
}
