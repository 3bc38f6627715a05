"""What a code carries: one file a measure, named as its public function."""
