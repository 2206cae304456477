package jobs

import (
	"cmp"
	"slices"

	"stoker.dev/stoker/scale"
)

// Node is GPUs of one product that lie together. A machine with several products is several of one name.
type Node struct {
	Name    string `json:"name"`
	Product string `json:"product,omitempty"`
	Memory  uint64 `json:"memory,omitempty"` // bytes of each GPU
	GPUs    int    `json:"gpus"`             // that are free or that jobs hold; what others hold is not among them
}

// takes tells whether a job could ever run there.
func (n *Node) takes(j *Job) bool {
	return !slices.Contains(j.Avoid, n.Name) && n.suits(j)
}

// holds tells whether the GPUs of a job that runs on a machine of that name may be these.
func (n *Node) holds(j *Job) bool {
	if j.Product != "" {
		return n.Product == j.Product
	}
	return n.suits(j)
}

// suits tells whether its GPUs are what a job asks for.
func (n *Node) suits(j *Job) bool {
	return scale.Ask{Products: j.Products, Memory: j.Memory}.Accepts(scale.Device{Product: n.Product, Memory: n.Memory})
}

// preference is the place of its product among those of a job, which takes it.
func (n *Node) preference(j *Job) int {
	return max(0, slices.IndexFunc(j.Products, func(p string) bool {
		return scale.Ask{Products: []string{p}}.Accepts(scale.Device{Product: n.Product})
	}))
}

// room is GPUs that can be given away: so many by right, in each queue, and on each node.
type room struct {
	own   int
	quota []int // nil: there are no queues
	at    []int // nil: nodes do not matter
}

func (r room) clone() room { return room{r.own, slices.Clone(r.quota), slices.Clone(r.at)} }

// within keeps what is free now below what will be.
func (r *room) within(o room) {
	r.own = min(r.own, o.own)
	for i := range r.quota {
		r.quota[i] = min(r.quota[i], o.quota[i])
	}
	for i := range r.at {
		r.at[i] = min(r.at[i], o.at[i])
	}
}

// move gives GPUs of ranks back to their nodes, or takes them with a negative sign.
func (r *room) move(where []int, gpus int) {
	for _, n := range where {
		if n >= 0 && r.at != nil {
			r.at[n] += gpus
		}
	}
}

// places finds a node for each rank of a gang: all of one product, the most preferred first; on as
// few nodes as it can, and on those where the least is left over. Nil and true: nodes do not matter.
func (s *Snapshot) places(r room, j *Job, ranks int) ([]int, bool) {
	if r.at == nil {
		return nil, true
	}
	var products []string
	var nodes []int
	for i := range s.Nodes {
		if n := &s.Nodes[i]; n.takes(j) {
			nodes = append(nodes, i)
			if !slices.Contains(products, n.Product) {
				products = append(products, n.Product)
			}
		}
	}
	rank := func(product string) int { return (&Node{Product: product}).preference(j) }
	slices.SortFunc(products, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	for _, p := range products {
		ofOne := func(i int) bool { return s.Nodes[i].Product == p }
		if where := pack(r.at, nodes, ofOne, j.per(), ranks); where != nil {
			return where, true
		}
	}
	return nil, false
}

// pack puts ranks on nodes; nil: they do not fit. Ranks without GPUs fit on any node.
func pack(free, nodes []int, of func(int) bool, per, ranks int) []int {
	slots := func(i int) int {
		if per == 0 {
			return ranks
		}
		return max(0, free[i]) / per
	}
	var usable []int
	for _, i := range nodes {
		if of(i) && slots(i) > 0 {
			usable = append(usable, i)
		}
	}
	// The fullest node that takes all that is left, and until there is one the emptiest of all.
	slices.SortStableFunc(usable, func(a, b int) int { return cmp.Compare(free[a], free[b]) })
	where := make([]int, 0, ranks)
	for len(where) < ranks && len(usable) > 0 {
		left := ranks - len(where)
		at := slices.IndexFunc(usable, func(i int) bool { return slots(i) >= left })
		if at < 0 {
			last := usable[len(usable)-1]
			at = slices.IndexFunc(usable, func(i int) bool { return free[i] == free[last] })
		}
		for range min(left, slots(usable[at])) {
			where = append(where, usable[at])
		}
		usable = slices.Delete(usable, at, at+1)
	}
	if len(where) < ranks {
		return nil
	}
	return where
}

// names are those of nodes.
func (s *Snapshot) names(where []int) []string {
	var out []string
	for _, n := range where {
		out = append(out, s.Nodes[n].Name)
	}
	return out
}
