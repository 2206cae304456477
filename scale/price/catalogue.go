package price

import (
	"strings"

	"stoker.dev/stoker/scale/cost"
)

// Plan is how GPUs are paid for.
type Plan string

// The plans an offer may have a price for.
const (
	OnDemand Plan = "onDemand"
	Reserved Plan = "reserved"
	Spot     Plan = "spot"
)

// Plans lists them. The caller owns the slice.
func Plans() []Plan { return []Plan{OnDemand, Reserved, Spot} }

// Offer is the price of one GPU product in one region, in USD per GPU-hour. A plan without a
// price is 0 here and unpriced: nobody gives GPUs away.
type Offer struct {
	Provider string  `yaml:"provider"`
	Region   string  `yaml:"region"`
	Product  string  `yaml:"product"`
	OnDemand float64 `yaml:"onDemand"`
	Reserved float64 `yaml:"reserved"`
	Spot     float64 `yaml:"spot"`
	Date     string  `yaml:"date"`   // when it was read, such as 2026-06-17
	Source   string  `yaml:"source"` // where, a URL
	Note     string  `yaml:"note"`
}

// of is the price by a plan, 0 where the offer has none.
func (o Offer) of(p Plan) float64 {
	switch p {
	case Reserved:
		return o.Reserved
	case Spot:
		return o.Spot
	case OnDemand:
		return o.OnDemand
	}
	return 0
}

// Pool says how a pool's GPUs are had.
type Pool struct {
	Provider string `yaml:"provider"`
	Region   string `yaml:"region"`
	Plan     Plan   `yaml:"plan"` // default onDemand
}

// Namespace is what is set for one namespace.
type Namespace struct {
	Budget Budget `yaml:"budget"`
}

// Budget is what may be spent, in USD; 0 is no bound.
type Budget struct {
	PerHour  float64 `yaml:"perHour"`
	PerDay   float64 `yaml:"perDay"`
	PerMonth float64 `yaml:"perMonth"`
	Action   string  `yaml:"action"` // warn or cap, default warn
}

// Limits is the budget as the meter holds spending against it.
func (b Budget) Limits() cost.Budget {
	return cost.Budget{Hour: b.PerHour, Day: b.PerDay, Month: b.PerMonth, Cap: b.Action == "cap"}
}

// Catalogue is what a file of prices holds. The zero Catalogue prices nothing.
type Catalogue struct {
	Prices     []Offer              `yaml:"prices"`
	Pools      map[string]Pool      `yaml:"pools"`
	Namespaces map[string]Namespace `yaml:"namespaces"`
}

// PerHour is what one GPU of a product costs in a pool, in USD per hour; false if that is not
// known: the pool is not attached to an offer, or there is none for the product or the plan.
func (c Catalogue) PerHour(pool, product string) (float64, bool) {
	at, attached := c.Pools[pool]
	if !attached {
		return 0, false
	}
	for _, o := range c.Prices {
		if o.Provider == at.Provider && o.Region == at.Region && Normal(o.Product) == Normal(product) {
			p := o.of(at.Plan)
			return p, p > 0
		}
	}
	return 0, false
}

// Normal is the form of a product's name by which names of different origin are compared: NVML
// says "NVIDIA H100 80GB HBM3", GPU feature discovery writes the same into a label as
// "NVIDIA-H100-80GB-HBM3", and appends -SHARED for a GPU that is handed out by time slices.
func Normal(product string) string {
	words := strings.FieldsFunc(strings.ToLower(product), func(r rune) bool { return r == ' ' || r == '-' || r == '_' })
	if n := len(words); n > 1 && words[n-1] == "shared" {
		words = words[:n-1]
	}
	return strings.Join(words, "-")
}
