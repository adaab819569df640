package outbox

// CloseDrops makes drops final, as a program does that is killed right after.
func CloseDrops(path string) error {
	_, err := closeDrops(path)
	return err
}
