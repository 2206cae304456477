// Package scale says what should happen.
package scale
