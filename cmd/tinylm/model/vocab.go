package model

import (
	"fmt"
	"slices"
)

// End is the token that fills the context before a document and that closes it.
const End int32 = 0

// maxVocab bounds the output layer: a text with more different characters is not
// what a character-level model of this size is for.
const maxVocab = 1024

// vocab maps characters to tokens. Token 0 is End and has no character.
type vocab struct {
	runes  []rune
	tokens map[rune]int32
}

// newVocab collects the characters of docs, in code point order.
func newVocab(docs []string) (vocab, error) {
	seen := map[rune]bool{}
	for _, doc := range docs {
		for _, r := range doc {
			seen[r] = true
		}
	}
	runes := make([]rune, 0, len(seen))
	for r := range seen {
		runes = append(runes, r)
	}
	slices.Sort(runes)
	return vocabOf(runes)
}

func vocabOf(runes []rune) (vocab, error) {
	if len(runes) == 0 || len(runes) >= maxVocab {
		return vocab{}, fmt.Errorf("%w: %d different characters, allowed is 1 to %d", ErrCorpus, len(runes), maxVocab-1)
	}
	v := vocab{runes: runes, tokens: make(map[rune]int32, len(runes))}
	for i, r := range runes {
		v.tokens[r] = int32(i) + 1
	}
	return v, nil
}

// size counts the tokens, End included.
func (v vocab) size() int { return len(v.runes) + 1 }

// encode maps text to tokens. A character the model never saw becomes End, which
// carries the least information.
func (v vocab) encode(text string) []int32 {
	out := make([]int32, 0, len(text))
	for _, r := range text {
		out = append(out, v.tokens[r])
	}
	return out
}

// char is the character of a token other than End.
func (v vocab) char(token int32) rune { return v.runes[token-1] }
