#!/bin/bash
# verify_backups.sh

BACKUP_DIR="/backup/pacs_bridge"
TEMP_DIR="/tmp/backup_verify"
ERRORS=0

mkdir -p "${TEMP_DIR}"

# Verify configuration backup
echo "Verifying configuration backup..."
LATEST_CONFIG=$(ls -t ${BACKUP_DIR}/config/config_*.tar.gz 2>/dev/null | head -1)
if [ -n "$LATEST_CONFIG" ]; then
    tar -tzf "$LATEST_CONFIG" > /dev/null 2>&1
    if [ $? -ne 0 ]; then
        echo "ERROR: Configuration backup verification failed"
        ((ERRORS++))
    else
        echo "OK: Configuration backup verified"
    fi
else
    echo "WARNING: No configuration backup found"
fi

# Verify queue backup
echo "Verifying queue backup..."
LATEST_QUEUE=$(ls -t ${BACKUP_DIR}/queue/queue_*.db.gz 2>/dev/null | head -1)
if [ -n "$LATEST_QUEUE" ]; then
    gunzip -c "$LATEST_QUEUE" > "${TEMP_DIR}/test.db" 2>/dev/null
    sqlite3 "${TEMP_DIR}/test.db" "PRAGMA integrity_check;" > /dev/null 2>&1
    if [ $? -ne 0 ]; then
        echo "ERROR: Queue backup verification failed"
        ((ERRORS++))
    else
        echo "OK: Queue backup verified"
    fi
else
    echo "WARNING: No queue backup found"
fi

# Cleanup
rm -rf "${TEMP_DIR}"

if [ $ERRORS -gt 0 ]; then
    echo "FAILED: ${ERRORS} verification errors"
    exit 1
else
    echo "PASSED: All backups verified"
    exit 0
fi
