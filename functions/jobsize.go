package functions

import "slices"

// Sizes are the numbers of nodes that a job may have, smallest first.
func (s JobSpec) Sizes() []int {
	e := s.Elastic
	if e == (Elastic{}) {
		if s.Resources.Nodes > 0 {
			return []int{s.Resources.Nodes}
		}
		e = Elastic{Min: 1, Max: MaxNodes, Step: 1} // with a goal alone, any number
	}
	var out []int
	for n := e.Min; n <= e.Max; n += max(1, e.Step) {
		out = append(out, n)
	}
	return out
}

// Allows tells whether a gang of so many nodes is one that the manifest allows.
func (s JobSpec) Allows(nodes int) bool { return slices.Contains(s.Sizes(), nodes) }
