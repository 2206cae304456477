package spending

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
	"stoker.dev/stoker/scale/price"
)

// budgetEvery is how long an answer about a budget is good for: what a replica costs meanwhile is
// less than a cent.
const budgetEvery = time.Second

// remembered is an answer and when it was given.
type remembered struct {
	a    Allowance
	spec functions.Budget
	at   time.Time
}

// Allowance is how a function stands with its budgets. The zero Allowance has none.
type Allowance struct {
	Replicas *int    // that its caps allow; nil: no cap binds
	Share    float64 // of the most strained budget, spent
	Text     string  // one line for people; empty without a budget
	Warn     bool    // people should know
}

// Allowance is asked at every decision about a function that has a budget, or whose namespace has.
func (k *Keeper) Allowance(key functions.Key, spec functions.Spec) Allowance {
	ns, bounded := k.Prices.Namespaces[key.Namespace]
	if spec.Scaling.Budget == (functions.Budget{}) && !bounded {
		return Allowance{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.Now()
	if r, known := k.budgets[key]; known && r.spec == spec.Scaling.Budget && now.Sub(r.at) < budgetEvery {
		return r.a
	}
	if now.Sub(k.passed) >= budgetEvery {
		k.meter.Pass(now)
		k.passed = now
	}
	a := k.allowance(key, spec, ns)
	k.budgets[key] = remembered{a, spec.Scaling.Budget, now}
	return a
}

// Forget drops what is remembered of a function that is gone.
func (k *Keeper) Forget(key functions.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.budgets, key)
}

// bound is one budget, and what is spent of it.
type bound struct {
	what    string
	budget  cost.Budget
	spent   cost.Spent
	planned float64 // what others that share it may go on to spend, in USD
}

func (k *Keeper) allowance(key functions.Key, spec functions.Spec, ns price.Namespace) Allowance {
	each, product, known := k.dearest(spec.Resources)
	if !known {
		return Allowance{Warn: true, Text: fmt.Sprintf("its budget is not watched: no price is known of %s in pool %s; give one with --prices", product, k.Pool)}
	}
	name := key.String()
	of := func(f string) bool { return f == name }
	bounds := []bound{{what: "function", budget: Limits(spec.Scaling.Budget), spent: k.meter.Spent(of, k.PerHour)}}
	if b := ns.Budget.Limits(); !b.None() {
		mine := func(f string) bool { return strings.HasPrefix(f, key.Namespace+"/") }
		bounds = append(bounds, bound{"namespace", b, k.meter.Spent(mine, k.PerHour), k.planned(func(f string) bool { return mine(f) && !of(f) })})
	}
	var a Allowance
	for _, b := range bounds {
		b.apply(&a, each, spec.Resources.GPUs)
	}
	return a
}

// apply holds a function against one budget.
func (b bound) apply(a *Allowance, each float64, gpus int) {
	if b.budget.None() {
		return
	}
	if b.budget.Cap {
		left := max(0, b.budget.Left(b.spent)-b.planned)
		if n := cost.Replicas(left, each, gpus); n >= 0 && (a.Replicas == nil || n < *a.Replicas) {
			a.Replicas = &n
		}
	}
	share, window := b.budget.Strain(b.spent)
	if a.Text != "" && share <= a.Share {
		return
	}
	action := "people are warned"
	if b.budget.Cap {
		action = "replicas are held back"
	}
	limit, spent := b.of(window)
	a.Share, a.Warn = share, b.budget.Near(b.spent)
	a.Text = fmt.Sprintf("%.2f of the %s's %.2f USD for this %s are spent (%d %%), in UTC; at the end %s",
		spent, b.what, limit, window, int(math.Floor(share*100+1e-9)), action)
}

func (b bound) of(window string) (limit, spent float64) {
	switch window {
	case "hour":
		return b.budget.Hour, b.spent.Hour
	case "day":
		return b.budget.Day, b.spent.Day
	}
	return b.budget.Month, b.spent.Month
}

// planned is what the running replicas of some functions must be able to spend, in USD.
func (k *Keeper) planned(of func(function string) bool) float64 {
	usd := 0.0
	for _, x := range k.meter.Leases {
		if perHour, known := k.PerHour(x.Product); known && of(x.Function) {
			usd += cost.Commit(perHour, x.GPUs)
		}
	}
	return usd
}

// dearest is the highest price of the GPUs that a function may get, in USD per GPU-hour, and of what
// product; one without a price is named first.
func (k *Keeper) dearest(r functions.Resources) (perHour float64, product string, known bool) {
	ask := scale.Ask{Products: r.Products, Memory: r.GPUMem.Bytes()}
	var products []string
	for _, d := range k.devices {
		if ask.Accepts(d) && !slices.Contains(products, d.Product) {
			products = append(products, d.Product)
		}
	}
	for _, p := range products {
		usd, priced := k.PerHour(p)
		if !priced {
			return 0, p, false
		}
		if usd > perHour {
			perHour, product = usd, p
		}
	}
	return perHour, product, perHour > 0 || r.GPUs == 0
}

// Limits is a manifest's budget as the meter holds spending against it.
func Limits(b functions.Budget) cost.Budget {
	usd := func(q functions.Quantity) float64 { return float64(q.Milli()) / 1000 }
	return cost.Budget{Hour: usd(b.PerHour), Day: usd(b.PerDay), Month: usd(b.PerMonth), Cap: b.Action == functions.BudgetCap}
}
