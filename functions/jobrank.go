package functions

// Rank is what one rank of a job needs of its node and runs there, as providers know it from the
// replicas of functions: its program, its resources and its grace. It has none of what serves requests.
func (s JobSpec) Rank() Spec {
	run := s.Runtime.program()
	run.Drain.Grace = s.Preemption.Grace
	r := s.Resources
	return Spec{
		Runtime:   run,
		Resources: Resources{GPUs: r.GPUsPerNode, GPUMem: r.GPUMem, Products: r.Products, CPU: r.CPU, Memory: r.Memory},
		Placement: s.Placement,
	}
}
