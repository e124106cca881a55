package config

import "strconv"

// maxSuggestLen bounds the work for a hostile or mangled word: no word of the
// language comes near it.
const maxSuggestLen = 40

// suggest returns a hint with the word of words that is nearest to found, or
// "" where none is near.
func suggest(found string, words []string) string {
	best := Nearest(found, words)
	if best == "" {
		return ""
	}
	return didYouMean(best)
}

func didYouMean(word string) string { return "did you mean " + strconv.Quote(word) + "?" }

// Nearest returns the word at the smallest edit distance from found, the first
// one of equals; "" where the distance is more than a third of the longer word.
func Nearest(found string, words []string) string {
	if found == "" || len(found) > maxSuggestLen {
		return ""
	}
	best, bestDistance := "", maxSuggestLen
	for _, w := range words {
		d := editDistance(found, w)
		if d <= max(1, max(len(found), len(w))/3) && d < bestDistance {
			best, bestDistance = w, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b; letter case is free.
func editDistance(a, b string) int {
	before := make([]int, len(b)+1) // two rows back: what a swap costs from
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if lower(a[i-1]) == lower(b[j-1]) {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
