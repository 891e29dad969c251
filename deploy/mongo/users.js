// Run once by the image, on an empty data directory, before the replica set is there.
const fs = require('fs')
const secret = (name) => fs.readFileSync(`/run/secrets/${name}`, 'utf8').trim()
const admin = db.getSiblingDB('admin')

admin.createUser({
  user: 'talkmeter',
  pwd: secret('mongo_password'),
  roles: [{role: 'readWrite', db: 'talkmeter'}],
})
admin.createUser({
  user: 'monitor',
  pwd: secret('mongo_monitor_password'),
  roles: [{role: 'clusterMonitor', db: 'admin'}, {role: 'read', db: 'local'}],
})
