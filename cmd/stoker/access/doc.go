// Package access says who may do what. But for making tokens it is pure: principals, roles and
// actions go in, a yes or a no that says why comes out. The HTTP port and the embedded broker both
// ask it.
//
//	            look  invoke  read    deploy  read  dead     administer
//	                          records         logs  letters
//	admin        x      x       x       x      x      x          x
//	deployer     x      x       x       x      x      x
//	caller       x      x       x
//	viewer       x
//	anonymous    x      x
//	local        x      x       x
//
// Admin, deployer, caller and viewer are what an operator gives to users, each within some
// namespaces or all; what concerns the platform as a whole wants all. The last two are those
// without credentials on this machine's loopback: local as long as the platform knows no users,
// so that trying it out needs no ceremony, and anonymous from the first user on, since a record
// belongs to its namespace. Off loopback there are neither.
//
// # What fails
//
//   - A users file that is not as it should be: refused as a whole, with line, field and what is
//     allowed. A user that is left out by mistake would be noticed; one that is let in would not.
//   - A token that nobody has: refused, never taken for none, so that a mistake shows at once.
package access
