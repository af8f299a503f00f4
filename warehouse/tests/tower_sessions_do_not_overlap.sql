-- A subscriber is in one session at a time; one may begin at the moment at which another ends.
select
    session.msisdn,
    session.hour,
    session.session_start
from {{ ref('tower_sessions') }} as session
inner join {{ ref('tower_sessions') }} as other using (msisdn, hour)
where
    session.batch_id > {{ var('checked_batch') }}
    and (session.session_start, session.tower_id) < (other.session_start, other.tower_id)
    and session.session_end > other.session_start
