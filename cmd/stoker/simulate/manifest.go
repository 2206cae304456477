package simulate

import (
	"fmt"
	"os"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/simulate"
)

// ReadManifest reads manifests in the place of a profile: slots, bounds, keep-alive and
// objective are theirs, the rest is a default profile's. A function of the trace (NAME, or
// NAMESPACE/NAME) without a manifest of its name follows the first one.
func ReadManifest(file string) (Profile, func(string) simulate.Settings, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Profile{}, nil, err
	}
	fns, err := functions.Parse(file, data)
	if err != nil {
		return Profile{}, nil, fmt.Errorf("%s is not valid:\n%w", file, err)
	}
	p, err := ParseProfile("default", nil)
	if err != nil {
		return Profile{}, nil, err
	}
	byName := map[string]simulate.Settings{}
	for _, f := range fns {
		s := simulate.Settings{Spec: scale.SpecOf(f, ""), ColdStart: p.ColdStart.drawn}
		byName[f.Metadata.Name], byName[f.Key().String()] = s, s
	}
	first := byName[fns[0].Metadata.Name]
	return p, func(name string) simulate.Settings {
		if s, ok := byName[name]; ok {
			return s
		}
		return first
	}, nil
}
