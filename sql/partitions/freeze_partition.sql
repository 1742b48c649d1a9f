-- Freeze a closed partition's rows, so that every snapshot sees them and no later vacuum has to read them.
-- identifiers: partition
-- locks: SHARE UPDATE EXCLUSIVE on partition
-- transaction: none
vacuum (freeze, analyze) {partition}
