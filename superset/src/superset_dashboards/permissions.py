"""What the user `viewer` may do."""

VIEWER_ROLE = "Market viewer"
# What looking at a dashboard takes: nothing here writes, opens SQL Lab, or reads other people's data.
VIEWER_PERMISSIONS = (
    ("can_read", "Dashboard"),
    ("can_read", "Chart"),
    ("can_read", "Dataset"),
    ("can_get_drill_info", "Dataset"),
    ("can_read", "CurrentUserRestApi"),
    ("can_read", "SecurityRestApi"),
    ("can_read", "Theme"),
    ("can_read", "DashboardPermalinkRestApi"),
    ("can_write", "DashboardPermalinkRestApi"),
    ("can_read", "DashboardFilterStateRestApi"),
    ("can_write", "DashboardFilterStateRestApi"),
    ("can_dashboard", "Superset"),
    ("can_dashboard_permalink", "Superset"),
    ("can_drill", "Dashboard"),
    ("can_view_chart_as_table", "Dashboard"),
    ("can_view_query", "Dashboard"),
    ("can_samples", "Datasource"),
    ("can_time_range", "Api"),
    ("can_list", "DashboardModelView"),
    ("can_csv", "Superset"),
    ("can_userinfo", "UserDBModelView"),
    ("menu_access", "Dashboards"),
)
