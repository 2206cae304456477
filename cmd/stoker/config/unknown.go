package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// forReplicas are the variables stoker sets for what it starts. A shell inside a replica has
// them; they are nobody's spelling mistake.
var forReplicas = []string{"STOKER_AGENT_CONFIG", "STOKER_FUNCTION", "STOKER_REPLICA_ID", "STOKER_SIMULATED_GPUS"}

// forClients are the variables of a command line that talks to a platform; they set nothing.
var forClients = []string{"STOKER_CA", "STOKER_SERVER", "STOKER_TOKEN"}

// Suggestions for a misspelt variable: how many letters it may be away from the one that is
// meant, and how many are named.
const (
	suggestWithin = 2
	suggestMost   = 3
)

// Unknown names the variables of an environment (NAME=VALUE) that look like settings and are
// none, each with the one that is probably meant: a misspelt setting would otherwise be
// ignored in silence. Values are not repeated.
func Unknown(environ []string) []string {
	known := Variables()
	var out []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) || slices.Contains(forReplicas, name) || slices.Contains(forClients, name) {
			continue
		}
		hint := "`stoker config` lists those that are"
		if near := closest(name, known); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
		out = append(out, fmt.Sprintf("%s is no setting of stoker and has no effect; %s", name, hint))
	}
	slices.Sort(out)
	return out
}

// Variables are the names of all settings in the environment.
func Variables() []string {
	t := reflect.TypeFor[Config]()
	out := make([]string, t.NumField())
	for i := range out {
		out[i] = t.Field(i).Tag.Get("envconfig")
	}
	return out
}

// closest measures as cobra does for misspelt commands.
func closest(word string, known []string) []string {
	words := &cobra.Command{SuggestionsMinimumDistance: suggestWithin}
	for _, k := range known {
		words.AddCommand(&cobra.Command{Use: k, Run: func(*cobra.Command, []string) {}})
	}
	near := words.SuggestionsFor(word)
	return near[:min(len(near), suggestMost)]
}
