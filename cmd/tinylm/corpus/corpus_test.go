package corpus_test

import (
	"slices"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/tinylm/corpus"
)

func TestDocuments(t *testing.T) {
	got := corpus.Documents("\r\n\r\none\r\nline two\r\n\r\n\n\n  \n\nthree\n")
	if want := []string{"one\nline two", "three"}; !slices.Equal(got, want) {
		t.Errorf("Documents = %q, want %q", got, want)
	}
}

func TestDigestTellsTextsApart(t *testing.T) {
	docs := corpus.Documents(corpus.Text())
	if corpus.Digest(docs) != corpus.Digest(corpus.Documents(corpus.Text())) {
		t.Error("the same text has two digests")
	}
	if corpus.Digest(docs) == corpus.Digest(docs[1:]) {
		t.Error("another text has the same digest")
	}
}

// Every dialogue has the form in which serve puts its questions, and both parts of
// the text are there.
func TestTextHasDialoguesAndProse(t *testing.T) {
	talk, prose := 0, 0
	for _, doc := range corpus.Documents(corpus.Text()) {
		question, answer, found := strings.Cut(doc, "\nstoker: ")
		switch {
		case !strings.HasPrefix(doc, "user:"):
			prose++
		case !found || !strings.HasPrefix(question, "user: ") || answer == "":
			t.Errorf("not a question and an answer: %q", doc)
		default:
			talk++
		}
	}
	if talk < 50 || prose < 20 {
		t.Errorf("%d dialogues and %d paragraphs, want 50 and 20 at least", talk, prose)
	}
}
