select
    format(
        'grant %s%s on %s to %s%s',
        privilege_type,
        ' (' || quote_ident(column_name) || ')',
        $1::text,
        case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
        case when is_grantable then ' with grant option' else '' end
    )
from (
    select
        null::name as column_name,
        relowner,
        (aclexplode(relacl)).*
    from pg_class
    where oid = $1::text::regclass

    union all

    select
        attname,
        relowner,
        (aclexplode(attacl)).*
    from pg_attribute
    join pg_class on pg_class.oid = attrelid
    where attrelid = $1::text::regclass
) as allowed
where grantee <> relowner
order by 1
