package mntns

// OpenTask opens the mount namespace of a task. Between a look at a process and
// this, its user may have put it into another one, even in a user namespace of
// their own: who wants to enter asks ID and SameUserNamespace of the handle, and
// enters by the same handle.
func OpenTask(pid, tid int) (NS, error) {
	return openOf(Mount, "%d/task/%d/ns/mnt", pid, tid)
}
