with

given as (
    select
        valid_from::date,
        voice * 0.000001 as voice,
        video * 0.000001 as video,
        data * 0.000001 as data
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) as prices (valid_from, voice, video, data)
),

gone as (
    delete from ops.tariff
    where valid_from not in (select valid_from from given)
)

insert into ops.tariff as old
select * from given
on conflict (valid_from) do update
set
    voice_zar_per_minute = excluded.voice_zar_per_minute,
    video_zar_per_minute = excluded.video_zar_per_minute,
    data_zar_per_gb = excluded.data_zar_per_gb
where
    (old.voice_zar_per_minute, old.video_zar_per_minute, old.data_zar_per_gb)
    <> (excluded.voice_zar_per_minute, excluded.video_zar_per_minute, excluded.data_zar_per_gb)
