package functions

import "strings"

// didYouMean is a hint naming the closest of the known words, or "" if none is close.
func didYouMean(word string, known []string) string {
	if best := closest(word, known); best != "" {
		return "did you mean " + best + "?"
	}
	return ""
}

// Closest is the known word that was probably meant, or "" where none or several resemble it.
func Closest(word string, known []string) string { return closest(word, known) }

// closest is the known word that differs from word in case alone, or else by the fewest
// edits, but by no more than a third of its letters. "" if there is none, or several.
func closest(word string, known []string) string {
	const longest = 64 // no name is longer; what is, resembles none
	if len(word) > longest {
		return ""
	}
	best, fewest := "", len(word)/3+1
	for _, k := range known {
		if strings.EqualFold(k, word) {
			return k
		}
		switch n := edits(strings.ToLower(word), strings.ToLower(k)); {
		case n < fewest:
			best, fewest = k, n
		case n == fewest: // as good a guess as the one before, so neither is
			best = ""
		}
	}
	return best
}

// edits is the number of letters to insert, delete, replace or swap with their neighbour
// to turn a into b (optimal string alignment).
func edits(a, b string) int {
	before, above := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j]+cost, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}
