package price

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"stoker.dev/stoker/functions"
)

const (
	// MaxBytes is the size of a file: thousands of offers.
	MaxBytes = 1 << 20
	// maxPerHour is a price above any GPU's; what is more was written per rack or per month.
	maxPerHour = 1000
	// maxBudget is above what anybody lets a machine spend by itself.
	maxBudget = 1e9
)

// ErrCatalogue is wrapped by every error of Parse.
var ErrCatalogue = errors.New("prices not readable")

// Parse reads a catalogue strictly: what it does not know, what is twice and what is out of range
// is an error, and all that is wrong is told at once. The file's name is for the messages.
func Parse(file string, data []byte) (Catalogue, error) {
	var c Catalogue
	if len(data) > MaxBytes {
		return c, fmt.Errorf("%w: %s: %d bytes; allowed: up to %d", ErrCatalogue, file, len(data), MaxBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Catalogue{}, fmt.Errorf("%w: %s: %w; allowed: prices, pools and namespaces, as in deploy/prices/list.yaml", ErrCatalogue, file, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Catalogue{}, fmt.Errorf("%w: %s: a second document; write everything into one", ErrCatalogue, file)
	}
	c = c.defaulted()
	if errs := c.check(file); len(errs) > 0 {
		return Catalogue{}, fmt.Errorf("%w:\n%w", ErrCatalogue, errors.Join(errs...))
	}
	return c, nil
}

func (c Catalogue) defaulted() Catalogue {
	for name, p := range c.Pools {
		if p.Plan == "" {
			p.Plan = OnDemand
		}
		c.Pools[name] = p
	}
	for name, n := range c.Namespaces {
		if n.Budget.Action == "" {
			n.Budget.Action = "warn"
		}
		c.Namespaces[name] = n
	}
	return c
}

func (c Catalogue) check(file string) []error {
	var errs []error
	wrong := func(path string, value any, allowed string) {
		errs = append(errs, fmt.Errorf("%s: %s: %v: allowed: %s", file, path, value, allowed))
	}
	first := map[[3]string]int{}
	for i, o := range c.Prices {
		at := fmt.Sprintf("prices[%d]", i)
		o.check(at, wrong)
		k := [3]string{o.Provider, o.Region, Normal(o.Product)}
		if j, twice := first[k]; twice {
			wrong(at+".product", fmt.Sprintf("%q", o.Product), fmt.Sprintf("once per provider and region; prices[%d] has it", j))
		} else {
			first[k] = i
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Pools)) {
		c.checkPool("pools."+name, name, wrong)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Namespaces)) {
		at := "namespaces." + name
		if !functions.ValidName(name) {
			wrong(at, fmt.Sprintf("%q", name), "a namespace: lower-case letters, digits and -")
		}
		c.Namespaces[name].Budget.check(at+".budget", wrong)
	}
	return errs
}

func (o Offer) check(at string, wrong func(path string, value any, allowed string)) {
	for _, f := range []struct{ name, value, allowed string }{
		{"provider", o.Provider, "who sells it, such as aws"},
		{"region", o.Region, "where, such as us-east-1"},
		{"product", o.Product, "a GPU product as NVML or GPU feature discovery name it, such as NVIDIA H200"},
	} {
		if f.value == "" {
			wrong(at+"."+f.name, "missing", f.allowed)
		}
	}
	for _, p := range Plans() {
		if v := o.of(p); !(v >= 0 && v <= maxPerHour) {
			wrong(fmt.Sprintf("%s.%s", at, p), v, fmt.Sprintf("USD per GPU-hour, above 0 and up to %d; left out where there is none", maxPerHour))
		}
	}
	if o.OnDemand == 0 && o.Reserved == 0 && o.Spot == 0 {
		wrong(at, "no price", "at least one of onDemand, reserved and spot")
	}
	if _, err := time.Parse(time.DateOnly, o.Date); err != nil {
		wrong(at+".date", fmt.Sprintf("%q", o.Date), "the day the price was read, such as 2026-06-17")
	}
	if host, found := strings.CutPrefix(o.Source, "https://"); !found || host == "" || strings.ContainsAny(host, " \t\n") {
		wrong(at+".source", fmt.Sprintf("%q", o.Source), "the https:// address where it was read")
	}
}

func (c Catalogue) checkPool(at, name string, wrong func(path string, value any, allowed string)) {
	p := c.Pools[name]
	if !functions.ValidName(name) {
		wrong(at, fmt.Sprintf("%q", name), "a pool's name: lower-case letters, digits and -")
	}
	if !slices.Contains(Plans(), p.Plan) {
		wrong(at+".plan", fmt.Sprintf("%q", p.Plan), "onDemand, reserved or spot")
	}
	if !slices.ContainsFunc(c.Prices, func(o Offer) bool { return o.Provider == p.Provider && o.Region == p.Region }) {
		wrong(at, fmt.Sprintf("provider %q, region %q", p.Provider, p.Region), "a provider and a region that prices has an offer of")
	}
}

func (b Budget) check(at string, wrong func(path string, value any, allowed string)) {
	for _, f := range []struct {
		name  string
		value float64
	}{{"perHour", b.PerHour}, {"perDay", b.PerDay}, {"perMonth", b.PerMonth}} {
		if !(f.value >= 0 && f.value <= maxBudget) || math.IsNaN(f.value) {
			wrong(at+"."+f.name, f.value, "US dollars, above 0; left out where there is no bound")
		}
	}
	if b.PerHour == 0 && b.PerDay == 0 && b.PerMonth == 0 {
		wrong(at, "no amount", "at least one of perHour, perDay and perMonth, above 0")
	}
	if b.Action != "warn" && b.Action != "cap" {
		wrong(at+".action", fmt.Sprintf("%q", b.Action), "warn or cap")
	}
}
