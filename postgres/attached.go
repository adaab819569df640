package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// dependents are what reads or names the table from outside, which would go on
// with the old table in silence.
func (a *adoption) dependents(ctx context.Context, tx pgx.Tx) error {
	found, err := scanAll(ctx, tx, pgx.RowTo[string], `
		SELECT DISTINCT CASE c.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || c.oid::regclass
			|| ' reads it; note what SELECT pg_get_viewdef(' || quote_literal(c.oid::regclass) || ') says, then '
			|| CASE c.relkind WHEN 'm' THEN 'DROP MATERIALIZED VIEW ' ELSE 'DROP VIEW ' END || c.oid::regclass
			|| ', and create it anew afterwards, by the new names of the columns'
		FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class
		WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND c.oid <> $1
		UNION ALL SELECT 'foreign key ' || quote_ident(conname) || ' of ' || conrelid::regclass
			|| ' refers to it, and nothing can refer to an id of a partitioned table; ALTER TABLE ' || conrelid::regclass
			|| ' DROP CONSTRAINT ' || quote_ident(conname) || ' (its column stays)'
		FROM pg_constraint WHERE contype = 'f' AND confrelid = $1 AND conrelid <> $1
		UNION ALL SELECT 'rule ' || quote_ident(rulename) || ' rewrites what is written; DROP RULE ' || quote_ident(rulename) || ' ON ' || ev_class::regclass
		FROM pg_rewrite WHERE ev_class = $1 AND rulename <> '_RETURN'
		UNION ALL SELECT 'table ' || inhrelid::regclass || ' inherits from it; ALTER TABLE ' || inhrelid::regclass || ' NO INHERIT ' || inhparent::regclass
		FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = $1 AND NOT c.relispartition
		UNION ALL SELECT DISTINCT 'function ' || p.oid::regprocedure || ' is bound to it; DROP FUNCTION ' || p.oid::regprocedure
			|| ', and create it anew afterwards, by the new names of the columns'
		FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
		WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 ORDER BY 1`, a.old.oid)
	a.obstacles = append(a.obstacles, found...)
	return wrapf(err, "look at what depends on %s", a.old.table())
}

// Each of these spells what hangs on the table $1, after the renaming: what it
// is, the statement that makes it anew on the new table $2, and the one that
// drops it now from $3.
var attachments = []string{
	`SELECT 'check ' || quote_ident(conname), format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::text, conname, pg_get_constraintdef(oid)),
		format('ALTER TABLE %s DROP CONSTRAINT %I', $3::text, conname)
	FROM pg_constraint WHERE conrelid = $1 AND contype = 'c' ORDER BY conname`,
	`SELECT 'unique ' || quote_ident(conname), format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::text, conname, pg_get_constraintdef(oid)),
		format('ALTER TABLE %s DROP CONSTRAINT %I', $3::text, conname)
	FROM pg_constraint WHERE conrelid = $1 AND contype IN ('u', 'x') ORDER BY conname`,
	`SELECT 'foreign key ' || quote_ident(conname), format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::text, conname, pg_get_constraintdef(f.oid)),
		format('ALTER TABLE %s DROP CONSTRAINT %I', $3::text, conname)
	FROM pg_constraint f WHERE conrelid = $1 AND contype = 'f' AND NOT EXISTS (
		SELECT FROM pg_attribute a WHERE a.attrelid = $1 AND ARRAY[a.attnum] = f.conkey AND a.attname IN ('user_id', 'strategy_id')) ORDER BY conname`,
	`SELECT 'index ' || quote_ident(c.relname), pg_get_indexdef(i.indexrelid) || coalesce(left($2::text, 0), ''), format('DROP INDEX %s.%I', n.nspname, c.relname) || coalesce(left($3::text, 0), '')
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE i.indrelid = $1 AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = $1)
		AND NOT (NOT i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND (
			SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(i.indkey::smallint[]) WITH ORDINALITY k (attnum, n)
			JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = k.attnum) = ANY (ARRAY['user_id', 'user_id,created_at', 'user_id,created_at,id',
				'strategy_id', 'strategy_id,created_at', 'strategy_id,created_at,id', 'created_at', 'created_at,id', 'id'])
			AND pg_get_indexdef(i.indexrelid) LIKE '%USING btree%') ORDER BY 1`,
	`SELECT 'row-level security' || CASE WHEN relforcerowsecurity THEN ' (forced)' ELSE '' END,
		format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', $2::text) || CASE WHEN relforcerowsecurity THEN format('; ALTER TABLE %s FORCE ROW LEVEL SECURITY', $2::text) ELSE '' END,
		format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', $3::text)
	FROM pg_class WHERE oid = $1 AND relrowsecurity`,
	`SELECT 'policy ' || quote_ident(polname), format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', polname, $2::text,
			CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
			CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
			array_to_string(ARRAY(SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END FROM unnest(polroles) r), ', '),
			' USING (' || pg_get_expr(polqual, polrelid) || ')', ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')'),
		format('DROP POLICY %I ON %s', polname, $3::text)
	FROM pg_policy WHERE polrelid = $1 ORDER BY polname`,
	`SELECT 'trigger ' || quote_ident(tgname), pg_get_triggerdef(oid) || CASE tgenabled WHEN 'O' THEN '' ELSE format('; ALTER TABLE %s %s TRIGGER %I', $2::text,
			CASE tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, tgname) END,
		format('DROP TRIGGER %I ON %s', tgname, $3::text)
	FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal ORDER BY tgname`,
	`SELECT 'comment', format('COMMENT ON TABLE %s IS %L', $2::text, obj_description($1, 'pg_class')) || coalesce(left($3::text, 0), ''), ''
	WHERE obj_description($1, 'pg_class') IS NOT NULL`,
	`SELECT 'comment on ' || quote_ident(attname), format('COMMENT ON COLUMN %s.%I IS %L', $2::text, attname, col_description($1, attnum)) || coalesce(left($3::text, 0), ''), ''
	FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND col_description($1, attnum) IS NOT NULL ORDER BY attnum`,
	`SELECT 'owner ' || relowner::regrole, format('ALTER TABLE %s OWNER TO %s', $2::text, relowner::regrole), format('ALTER TABLE %s OWNER TO CURRENT_USER', $3::text)
	FROM pg_class WHERE oid = $1 AND relowner::regrole <> current_user::regrole`,
	`SELECT 'rights of ' || grantee || ': ' || string_agg(privilege_type, ', ' ORDER BY privilege_type),
		string_agg(format('GRANT %s ON %s TO %s%s', privilege_type, $2::text, grantee, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '; '),
		format('REVOKE ALL ON %s FROM %s', $3::text, grantee)
	FROM (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee, privilege_type, is_grantable
		FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = $1 AND a.grantee <> c.relowner) g GROUP BY grantee ORDER BY 1`,
	`SELECT 'rights of ' || grantee || ' on ' || quote_ident(attname) || ': ' || string_agg(privilege_type, ', ' ORDER BY privilege_type),
		string_agg(format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, $2::text, grantee, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '; '),
		format('REVOKE ALL (%I) ON %s FROM %s', attname, $3::text, grantee)
	FROM (SELECT t.attname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee, privilege_type, is_grantable
		FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = $1) g GROUP BY grantee, attname ORDER BY 1`,
}

// definitions notes what hangs on the table, in our names.
func (a *adoption) definitions(ctx context.Context, tx pgx.Tx) error {
	for _, query := range attachments {
		found, err := scanAll(ctx, tx, func(row pgx.CollectableRow) (d definition, err error) {
			return d, row.Scan(&d.what, &d.sql, &d.drop)
		}, query, a.old.oid, a.l.sql("{logs}"), a.old.table())
		if err != nil {
			return wrapf(err, "look at what hangs on %s", a.old.table())
		}
		a.carried = append(a.carried, found...)
	}
	if err := a.changed(ctx, tx); err != nil {
		return err
	}
	return a.triggerFunctions(ctx, tx)
}

// changed tells what is different afterwards or left behind.
func (a *adoption) changed(ctx context.Context, tx pgx.Tx) error {
	found, err := scanAll(ctx, tx, pgx.RowTo[string], `
		SELECT 'foreign key ' || quote_ident(conname) || ' becomes ON DELETE CASCADE ON UPDATE CASCADE' FROM pg_constraint f
		WHERE conrelid = $1 AND contype = 'f' AND (confdeltype <> 'c' OR confupdtype <> 'c') AND EXISTS (
			SELECT FROM pg_attribute a WHERE a.attrelid = $1 AND ARRAY[a.attnum] = f.conkey AND a.attname IN ('user_id', 'strategy_id'))
		UNION ALL SELECT 'not carried over: storage options ' || reloptions::text FROM pg_class WHERE oid = $1 AND reloptions IS NOT NULL
		UNION ALL SELECT 'not carried over: extended statistics ' || quote_ident(stxname) FROM pg_statistic_ext WHERE stxrelid = $1
		UNION ALL SELECT 'not carried over: its place in publication ' || quote_ident(p.pubname) || '; ALTER PUBLICATION ' || quote_ident(p.pubname) || ' ADD TABLE `+
		strings.ReplaceAll(a.l.sql("{logs}"), "'", "''")+`'
		FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = $1`, a.old.oid)
	a.plan = append(a.plan, found...)
	return wrapf(err, "look at %s", a.old.table())
}

// triggerFunctions refuses functions of triggers that use names of columns
// which will be others: they would fail at the first row.
func (a *adoption) triggerFunctions(ctx context.Context, tx pgx.Tx) error {
	type function struct{ Trigger, Function, Source string }
	found, err := scanAll(ctx, tx, pgx.RowToStructByPos[function],
		"SELECT t.tgname, p.oid::regprocedure::text, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = $1 AND NOT t.tgisinternal", a.old.oid)
	for _, f := range found {
		for _, ours := range logColumns {
			if theirs := a.old.fields[ours].name; theirs != ours && strings.Contains(f.Source, theirs) {
				a.obstacle("trigger %s: its function %s uses %s, which will be %s; let it read to_jsonb(NEW)->>%s in its place, or DROP TRIGGER %s ON %s and create it anew afterwards",
					quote(f.Trigger), f.Function, quote(theirs), ours, literal(ours), quote(f.Trigger), a.old.table())
				break
			}
		}
	}
	return wrapf(err, "look at the triggers of %s", a.old.table())
}

// carry makes anew what hung on the old table. What the new one cannot have is
// an obstacle.
func (a *adoption) carry(ctx context.Context, tx pgx.Tx) error {
	for _, d := range a.carried {
		err := pgx.BeginFunc(ctx, tx, func(nested pgx.Tx) error {
			_, err := nested.Exec(ctx, d.sql)
			return err
		})
		var refused *pgconn.PgError
		switch {
		case errors.As(err, &refused):
			a.obstacle("%s cannot be carried over (%s); %s, and create what fits the new table afterwards", d.what, refused.Message, d.drop)
		case err != nil:
			return err
		default:
			a.tell("%s is carried over", d.what)
		}
	}
	return a.oldName(ctx, tx)
}

// oldName leaves a view where the table was, if its name is free, so that a
// client made before the adoption goes on reading and writing.
func (a *adoption) oldName(ctx context.Context, tx pgx.Tx) error {
	if a.old.name == logsTable {
		return nil
	}
	var columns []string
	for _, ours := range logColumns {
		columns = append(columns, quote(ours)+" AS "+quote(a.old.fields[ours].name))
	}
	for _, name := range a.names {
		if !slices.Contains(logColumns, name) {
			columns = append(columns, name)
		}
	}
	for _, d := range a.carried {
		if strings.HasPrefix(d.what, "row-level security") {
			a.tell("no view takes the place of %s, because rows are hidden by policies: stop what uses it first", a.old.table())
			return nil
		}
	}
	a.view = a.old.table()
	statements := []string{fmt.Sprintf("CREATE VIEW %s AS SELECT %s FROM %s", a.view, strings.Join(columns, ", "), a.l.sql("{logs}"))}
	for _, d := range a.carried {
		if strings.HasPrefix(d.what, "owner ") || strings.HasPrefix(d.what, "rights of ") && !strings.Contains(d.what, " on ") {
			statements = append(statements, strings.ReplaceAll(d.sql, a.l.sql("{logs}"), a.view))
		}
	}
	a.tell("a view %s with the old names of the columns takes the place of the table until you drop that", a.view)
	return a.set(ctx, tx, statements)
}
