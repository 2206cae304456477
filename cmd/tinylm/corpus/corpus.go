// Package corpus holds the text that tinylm is trained on: original prose and
// short dialogues about a ship's boiler room, written for this repository and
// under its licence.
//
// The text is split into documents at blank lines. A document is one paragraph
// or one question with its answer, and is the unit that the model learns to
// start and to end.
package corpus

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"strings"
)

//go:embed prose.txt
var prose string

//go:embed talk.txt
var talk string

// Text returns the whole built-in corpus.
func Text() string { return prose + "\n" + talk }

// Documents splits text at blank lines and drops empty documents.
func Documents(text string) []string {
	var docs []string
	for _, doc := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if doc = strings.TrimSpace(doc); doc != "" {
			docs = append(docs, doc)
		}
	}
	return docs
}

// Digest names a set of documents, so that a checkpoint is never resumed on
// text other than the text it was trained on. It is a hex SHA-256.
func Digest(docs []string) string {
	sum := sha256.Sum256([]byte(strings.Join(docs, "\n\n")))
	return hex.EncodeToString(sum[:])
}
