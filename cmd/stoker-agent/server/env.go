package server

import (
	"slices"
	"strconv"
	"strings"

	"stoker.dev/stoker/events"
)

// passed are the only variables of our own environment a model server gets: what a program
// needs to find its tools and files, and nothing that could be a credential.
var passed = []string{"PATH", "HOME", "LANG", "TMPDIR"}

// Env is the environment of the model server, or of the program of a rank. From weak to strong: what is passed on of
// parent, the manifest's variables, and what the platform sets, which a manifest cannot
// change: a replica must not choose somebody else's GPUs.
func Env(c events.AgentConfig, parent []string, port int) []string {
	var out []string
	for _, kv := range parent {
		if name, _, ok := strings.Cut(kv, "="); ok && slices.Contains(passed, name) {
			out = setenv(out, kv)
		}
	}
	for _, kv := range c.Env {
		out = setenv(out, kv)
	}
	for _, kv := range platformEnv(c, port) {
		out = setenv(out, kv)
	}
	return out
}

// platformEnv tells the server who it is. With no GPUs CUDA_VISIBLE_DEVICES is empty, which
// hides them all, so that a function without a GPU cannot take one another replica holds. Who the
// program of a rank is, is in c.Env already.
func platformEnv(c events.AgentConfig, port int) []string {
	if c.Rank != nil && len(c.Rank.Place) > 0 { // what its container sees is for the device plugin to say
		return []string{"STOKER_REPLICA_ID=" + c.Replica}
	}
	env := []string{"STOKER_REPLICA_ID=" + c.Replica, "CUDA_VISIBLE_DEVICES=" + strings.Join(c.GPUs, ",")}
	if c.Rank != nil {
		return env
	}
	return append(env, "PORT="+strconv.Itoa(port), "STOKER_FUNCTION="+c.Key.String())
}

// setenv adds kv to env, in the place of an earlier one of the same name.
func setenv(env []string, kv string) []string {
	name, _, _ := strings.Cut(kv, "=")
	for i, old := range env {
		if strings.HasPrefix(old, name+"=") {
			env[i] = kv
			return env
		}
	}
	return append(env, kv)
}
