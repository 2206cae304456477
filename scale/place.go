package scale

import (
	"cmp"
	"slices"
	"strings"
)

// shelf is the free devices of one product on one node, a candidate for an ask.
type shelf struct {
	node    string
	product string
	rank    int // of the product in the ask's order of preference
	memory  uint64
	free    []string // device IDs, sorted
}

// place picks node and devices for an ask: the most preferred product first, then the
// smallest memory that is enough, then the node on which the fewest are left over (best
// fit, which keeps whole nodes free for large asks), then by name.
func (l Ledger) place(ask Ask) (node string, devices []string, err error) {
	if ask.GPUs == 0 {
		return "", nil, nil
	}
	shelves := slices.DeleteFunc(l.shelves(ask), func(s shelf) bool { return len(s.free) < ask.GPUs })
	if len(shelves) == 0 {
		return "", nil, &NoCapacityError{
			Ask:     ask,
			Free:    l.Free(ask.Products, ask.Memory),
			Holders: l.holders(ask.Accepts),
		}
	}
	best := slices.MinFunc(shelves, func(a, b shelf) int {
		return cmp.Or(
			cmp.Compare(a.rank, b.rank),
			cmp.Compare(a.memory, b.memory),
			cmp.Compare(len(a.free), len(b.free)),
			cmp.Compare(a.node, b.node),
			cmp.Compare(a.product, b.product),
		)
	})
	return best.node, slices.Clone(best.free[:ask.GPUs]), nil
}

// shelves groups the free devices an ask accepts by node and product.
func (l Ledger) shelves(ask Ask) []shelf {
	held := l.held()
	var out []shelf
	first := 0 // of the current node: devices are sorted by node
	product, rank := "", ask.preference("")
	for i, d := range l.Devices {
		if d.Product != product { // neighbours mostly are of one product
			product, rank = d.Product, ask.preference(d.Product)
		}
		if held[i] != nobody || d.Foreign != "" || rank < 0 || d.Memory < ask.Memory || !l.sound(d) || slices.Contains(ask.Avoid, d.Node) {
			continue
		}
		if len(out) > 0 && out[len(out)-1].node != d.Node {
			first = len(out)
		}
		at := slices.IndexFunc(out[first:], func(s shelf) bool { return s.node == d.Node && s.product == d.Product })
		if at < 0 {
			out = append(out, shelf{node: d.Node, product: d.Product, rank: rank, memory: d.Memory})
			at = len(out) - 1 - first
		}
		s := &out[first+at]
		s.free = append(s.free, d.ID)
		s.memory = max(s.memory, d.Memory)
	}
	return out
}

// sound is whether a device works and is in reach.
func (l Ledger) sound(d Device) bool {
	_, lost := slices.BinarySearch(l.Lost, d.Node)
	return d.Healthy && !d.Missing && !lost
}

// Accepts tells whether a device is of a kind that the ask takes; whether it is free is another
// question.
func (a Ask) Accepts(d Device) bool { return d.Memory >= a.Memory && a.preference(d.Product) >= 0 }

// preference is the place of a product in the ask's order; negative: not acceptable.
func (a Ask) preference(product string) int {
	if len(a.Products) == 0 {
		return 0
	}
	return slices.IndexFunc(a.Products, func(want string) bool { return productMatches(want, product) })
}

// productMatches is whether the words of want appear in the product's name, in order and
// side by side, whatever the case: "h100" and "H100 80GB" match "NVIDIA H100 80GB HBM3"
// and Kubernetes' label "NVIDIA-H100-80GB-HBM3"; "A10" does not match "NVIDIA A100".
func productMatches(want, product string) bool {
	w, p := words(want), words(product)
	if len(w) == 0 {
		return false
	}
	for i := 0; i+len(w) <= len(p); i++ {
		if slices.Equal(w, p[i:i+len(w)]) {
			return true
		}
	}
	return false
}

func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r == ' ' || r == '-' || r == '_' })
}

// Free counts the devices that could be given away and are of a wanted kind, on all
// nodes together. No products: any.
func (l Ledger) Free(products []string, memory uint64) int {
	n := 0
	for _, s := range l.shelves(Ask{Products: products, Memory: memory}) {
		n += len(s.free)
	}
	return n
}

// Fit is how many replicas with this ask could be placed now: what is free and lies
// together. An ask without GPUs always fits.
func (l Ledger) Fit(ask Ask) int {
	if ask.GPUs <= 0 {
		return MaxReplicas
	}
	n := 0
	for _, s := range l.shelves(ask) {
		n += len(s.free) / ask.GPUs
	}
	return n
}
