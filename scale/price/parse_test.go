package price_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/scale/price"
)

const good = `
prices:
- {provider: aws, region: us-east-1, product: NVIDIA A10G, onDemand: 1.006, spot: 0.4, date: 2026-06-17, source: "https://aws.amazon.com/"}
- {provider: aws, region: us-east-1, product: NVIDIA H100 80GB HBM3, reserved: 4.916, date: 2024-12-01, source: "https://aws.amazon.com/"}
pools:
  default: {provider: aws, region: us-east-1}
  cheap: {provider: aws, region: us-east-1, plan: spot}
namespaces:
  team-a: {budget: {perDay: 100, action: cap}}
`

func TestLookup(t *testing.T) {
	c, err := price.Parse("prices.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		pool, product string
		want          float64
	}{
		{"default", "NVIDIA A10G", 1.006},
		{"default", "NVIDIA-A10G", 1.006}, // as GPU feature discovery writes it
		{"default", "nvidia-a10g-SHARED", 1.006},
		{"cheap", "NVIDIA A10G", 0.4},
		{"default", "NVIDIA H100 80GB HBM3", 0}, // no price on demand: unpriced, not free
		{"default", "NVIDIA L4", 0},
		{"other", "NVIDIA A10G", 0}, // attached to nothing
		{"default", "", 0},
	} {
		got, known := c.PerHour(x.pool, x.product)
		if got != x.want || known != (x.want > 0) {
			t.Errorf("%s in %s: %v, %v; want %v", x.product, x.pool, got, known, x.want)
		}
	}
	if b := c.Namespaces["team-a"].Budget.Limits(); b.Day != 100 || !b.Cap {
		t.Errorf("the budget is %+v", b)
	}
	if _, err := price.Parse("empty", nil); err != nil {
		t.Errorf("an empty catalogue prices nothing, and is one: %v", err)
	}
}

// TestRefusals names file, place, value and what is allowed.
func TestRefusals(t *testing.T) {
	const offer = "prices: [{provider: p, region: r, product: x, onDemand: 1, date: 2026-01-02, source: 'https://p'}]\n"
	for text, want := range map[string]string{
		"prices: [{provider: p, region: r, product: x, onDemand: -1, date: 2026-01-02, source: 'https://p'}]": "f: prices[0].onDemand: -1",
		"prices: [{provider: p, region: r, product: x, spot: .nan, date: 2026-01-02, source: 'https://p'}]":   "f: prices[0].spot: NaN",
		"prices: [{provider: p, region: r, product: x, spot: .inf, date: 2026-01-02, source: 'https://p'}]":   "f: prices[0].spot: +Inf",
		"prices: [{provider: p, region: r, product: x, date: 2026-01-02, source: 'https://p'}]":               "f: prices[0]: no price",
		"prices: [{provider: p, region: r, product: x, spot: 1, date: yesterday, source: 'https://p'}]":       `f: prices[0].date: "yesterday"`,
		"prices: [{provider: p, region: r, product: x, spot: 1, date: 2026-01-02, source: hearsay}]":          `f: prices[0].source: "hearsay"`,
		"prices: [{region: r, product: x, spot: 1, date: 2026-01-02, source: 'https://p'}]":                   "f: prices[0].provider: missing",
		"prices: [{provider: p, region: r, product: x, price: 1}]":                                            "field price not found",
		"prices: 7":               "cannot unmarshal",
		"prices: [":               "did not find",
		offer + "---\nprices: []": "a second document",
		offer + "pools: {a: {provider: p, region: elsewhere}}":      `f: pools.a: provider "p", region "elsewhere"`,
		offer + "pools: {a: {provider: p, region: r, plan: lease}}": `f: pools.a.plan: "lease"`,
		"namespaces: {a: {budget: {action: cap}}}":                  "f: namespaces.a.budget: no amount",
		"namespaces: {a: {budget: {perDay: -2}}}":                   "f: namespaces.a.budget.perDay: -2",
		"namespaces: {a: {budget: {perDay: 2, action: stop}}}":      `f: namespaces.a.budget.action: "stop"`,
		"namespaces: {A_b: {budget: {perDay: 2}}}":                  `f: namespaces.A_b: "A_b"`,
		strings.Replace(good, "pools:", "- {provider: aws, region: us-east-1, product: nvidia-a10g, onDemand: 2, date: 2026-06-17, source: 'https://b'}\npools:", 1): "prices[0] has it",
	} {
		_, err := price.Parse("f", []byte(text))
		if !errors.Is(err, price.ErrCatalogue) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestShippedPrices reads what is installed.
func TestShippedPrices(t *testing.T) {
	files, err := filepath.Glob("../../deploy/prices/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no prices are shipped: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := price.Parse(file, data)
		if err != nil || len(c.Prices) == 0 {
			t.Errorf("%d offers: %v", len(c.Prices), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := price.Parse("f", data)
		if err != nil {
			return
		}
		for pool := range c.Pools {
			for _, o := range c.Prices {
				if p, known := c.PerHour(pool, o.Product); known && p <= 0 {
					t.Errorf("%s in %s is given away", o.Product, pool)
				}
			}
		}
	})
}
