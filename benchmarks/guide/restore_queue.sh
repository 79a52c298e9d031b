#!/bin/bash
# restore_queue.sh

BACKUP_FILE="$1"
DB_PATH="/var/lib/pacs_bridge/queue.db"

if [ -z "$BACKUP_FILE" ]; then
    echo "Usage: restore_queue.sh <backup_file>"
    exit 1
fi

# Stop service
systemctl stop pacs_bridge

# Backup current database
mv "${DB_PATH}" "${DB_PATH}.old"

# Restore from backup
gunzip -c "${BACKUP_FILE}" > "${DB_PATH}"

# Set permissions
chown pacs_bridge:pacs_bridge "${DB_PATH}"

# Verify database
sqlite3 "${DB_PATH}" "PRAGMA integrity_check;"

if [ $? -eq 0 ]; then
    systemctl start pacs_bridge
    rm -f "${DB_PATH}.old"
    echo "Queue database restored"
else
    mv "${DB_PATH}.old" "${DB_PATH}"
    systemctl start pacs_bridge
    echo "ERROR: Database integrity check failed, rolled back"
    exit 1
fi
