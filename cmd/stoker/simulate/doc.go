// Package simulate is `stoker simulate`: it reads traces and profiles, runs the policies of
// scale/simulate over them and tells what they would have cost. It needs no platform.
//
// # Traces
//
// CSV with a header, gzipped or not, in the order of time. Columns are found by name:
//
//	arrival_s      seconds since any zero (required)
//	input_tokens   of the request; 0 where the column is missing
//	output_tokens  of the answer; 0 where the column is missing
//	model          the function it asks; "all" where the column is missing, "unnamed" where a
//	               row leaves it empty
//	exec_s         its measured service time, seconds
//
// Other columns are left alone. Azure's public LLM traces are read as they come: TIMESTAMP,
// ContextTokens, GeneratedTokens.
package simulate
