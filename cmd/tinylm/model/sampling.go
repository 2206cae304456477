package model

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is picked from the model's guesses.
type Sampling struct {
	Temperature float64 // 0 takes the likeliest token; 1 takes the model at its word
	TopP        float64 // likeliest tokens that add up to this share; 0 or 1 means all
	TopK        int     // likeliest tokens; 0 means all
	Seed        uint64  // the same seed gives the same answer
}

type candidate struct {
	token int32
	p     float64
}

// picker returns a function that picks one token of a list of logits.
func (s Sampling) picker() func(logits []float32) int32 {
	rng := rand.New(rand.NewPCG(s.Seed, 0))
	return func(logits []float32) int32 {
		if s.Temperature <= 0 {
			return likeliest(logits)
		}
		return draw(s.cut(probabilities(logits, s.Temperature)), rng.Float64())
	}
}

func likeliest(logits []float32) int32 {
	best := 0
	for i, l := range logits {
		if l > logits[best] {
			best = i
		}
	}
	return int32(best)
}

// probabilities is the softmax of logits/temperature, likeliest first.
func probabilities(logits []float32, temperature float64) []candidate {
	top := float64(logits[likeliest(logits)])
	out := make([]candidate, len(logits))
	sum := 0.0
	for i, l := range logits {
		p := math.Exp((float64(l) - top) / temperature)
		out[i] = candidate{token: int32(i), p: p}
		sum += p
	}
	for i := range out {
		out[i].p /= sum
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return cmp.Compare(b.p, a.p) })
	return out
}

// cut keeps the candidates that TopK and TopP allow, at least one.
func (s Sampling) cut(sorted []candidate) []candidate {
	if s.TopK > 0 && s.TopK < len(sorted) {
		sorted = sorted[:s.TopK]
	}
	if s.TopP <= 0 || s.TopP >= 1 {
		return sorted
	}
	sum := 0.0
	for i, c := range sorted {
		if sum += c.p; sum >= s.TopP {
			return sorted[:i+1]
		}
	}
	return sorted
}

// draw picks a candidate with a uniform number u in [0, 1).
func draw(from []candidate, u float64) int32 {
	total := 0.0
	for _, c := range from {
		total += c.p
	}
	left := u * total
	for _, c := range from {
		if left -= c.p; left < 0 {
			return c.token
		}
	}
	return from[len(from)-1].token
}
