-- What an application writes.
-- identifiers: parent
insert into {parent} (event_type, event_category, source_system, event_data)
values ('written', 'monitoring', 'websocket', '{{"path": "/v1/items"}}')
